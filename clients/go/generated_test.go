package tokend_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestGeneratedCodeMatchesProtos(t *testing.T) {
	if _, err := exec.LookPath("uv"); err != nil && os.Getenv("CI") != "true" {
		t.Skip("there is no uv, whose protoc generates the code")
	}
	directory := t.TempDir()
	if output, err := exec.Command("./generate.sh", directory).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	committed := contents(t, "tokendv1")
	generated := contents(t, directory)
	if len(generated) == 0 || len(committed) != len(generated) {
		t.Fatalf("%d files are committed, %d generated", len(committed), len(generated))
	}
	for name, content := range generated {
		if !bytes.Equal(content, committed[name]) {
			t.Errorf("%s differs: run go generate", name)
		}
	}
}

func contents(t *testing.T, directory string) map[string][]byte {
	paths, err := filepath.Glob(filepath.Join(directory, "*"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(path)] = content
	}
	return files
}
