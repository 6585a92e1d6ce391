package tokend_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tokend.internal/go"
)

var snippet = regexp.MustCompile("(?s)```go\n(.*?)```")

func TestEachSnippetOfReadmeIsCompiled(t *testing.T) {
	var compiled strings.Builder
	for _, pattern := range []string{"examples/*/*.go", "example_test.go"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("no files %s, error %v", pattern, err)
		}
		for _, path := range paths {
			compiled.WriteString(unindented(read(t, path)))
		}
	}
	snippets := snippet.FindAllStringSubmatch(read(t, "README.md"), -1)
	if len(snippets) == 0 {
		t.Fatal("the page has no snippets")
	}
	for _, found := range snippets {
		if !strings.Contains(compiled.String(), unindented(found[1])) {
			t.Errorf("in no file:\n%s", found[1])
		}
	}
}

func TestReadmeHasGoVersionAndModuleVersion(t *testing.T) {
	page, requirements := read(t, "README.md"), read(t, "go.mod")
	for _, want := range []struct{ text, pattern string }{
		{page, `Go 1\.25 or later`}, {requirements, `(?m)^go 1\.25\.`},
		{page, `tokend\.internal/go@v` + regexp.QuoteMeta(tokend.Version)},
	} {
		if !regexp.MustCompile(want.pattern).MatchString(want.text) {
			t.Errorf("%s is not there", want.pattern)
		}
	}
}

func read(t *testing.T, path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func unindented(code string) string {
	var lines strings.Builder
	for line := range strings.Lines(code) {
		lines.WriteString(strings.TrimSpace(line) + "\n")
	}
	return lines.String()
}
