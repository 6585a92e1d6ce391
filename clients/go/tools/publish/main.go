// Command publish writes modules as a version into a directory from which the go command takes them by GOPROXY:
//
//	go run ./publish DIRECTORY VERSION MODULE...
//
// Each MODULE is a directory with a go.mod; its files are taken as they are, so check out what is to be the version. What
// is written is the GOPROXY protocol, https://go.dev/ref/mod#goproxy-protocol: a web server may serve DIRECTORY as well. A
// version does not change: to publish it again with other content fails.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	"golang.org/x/mod/zip"
)

const (
	directoryMode = 0o755
	fileMode      = 0o644
)

func main() {
	if len(os.Args) < 4 {
		fail(errors.New("usage: publish DIRECTORY VERSION MODULE..."))
	}
	for _, directory := range os.Args[3:] {
		if err := publish(os.Args[1], os.Args[2], directory); err != nil {
			fail(fmt.Errorf("%s: %w", directory, err))
		}
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "publish:", err)
	os.Exit(1)
}

// publish writes one module as a version.
func publish(to, version, directory string) error {
	requirements, err := os.ReadFile(filepath.Join(directory, "go.mod"))
	if err != nil {
		return err
	}
	named := module.Version{Path: modfile.ModulePath(requirements), Version: version}
	var content bytes.Buffer
	if err := zip.CreateFromDir(&content, named, directory); err != nil {
		return err
	}
	info, err := json.Marshal(map[string]string{"Version": version})
	if err != nil {
		return err
	}
	escaped, err := module.EscapePath(named.Path)
	if err != nil {
		return err
	}
	versions := filepath.Join(to, filepath.FromSlash(escaped), "@v")
	if err := os.MkdirAll(versions, directoryMode); err != nil {
		return err
	}
	for ending, bytes := range map[string][]byte{".info": info, ".mod": requirements, ".zip": content.Bytes()} {
		if err := writeOnce(filepath.Join(versions, version+ending), bytes); err != nil {
			return err
		}
	}
	return list(filepath.Join(versions, "list"), version)
}

// writeOnce writes a file that, where it is there already, has to have this content.
func writeOnce(path string, content []byte) error {
	switch before, err := os.ReadFile(path); {
	case errors.Is(err, os.ErrNotExist):
		return os.WriteFile(path, content, fileMode)
	case err != nil:
		return err
	case !bytes.Equal(before, content):
		return fmt.Errorf("%s has other content", path)
	}
	return nil
}

// list adds the version to those that there are.
func list(path, version string) error {
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	versions := append(strings.Fields(string(content)), version)
	semver.Sort(versions)
	return os.WriteFile(path, []byte(strings.Join(slices.Compact(versions), "\n")+"\n"), fileMode)
}
