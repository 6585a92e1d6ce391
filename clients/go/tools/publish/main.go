// Command publish writes a version of modules to a directory that the go command can use as GOPROXY:
//
//	go run ./publish DIRECTORY VERSION MODULE...
//
// Each MODULE is a directory with a go.mod. Its files are published as they are, so check out the version first. The
// layout is the GOPROXY protocol, https://go.dev/ref/mod#goproxy-protocol: a web server may also serve DIRECTORY. A
// version is immutable: publishing it again with other content fails.
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

// publish writes a version of one module.
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

// writeOnce writes a file. It fails if the file exists with other content.
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

// list adds the version to the list of versions.
func list(path, version string) error {
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	versions := append(strings.Fields(string(content)), version)
	semver.Sort(versions)
	return os.WriteFile(path, []byte(strings.Join(slices.Compact(versions), "\n")+"\n"), fileMode)
}
