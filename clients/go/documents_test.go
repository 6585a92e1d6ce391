package tokend_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var snippet = regexp.MustCompile("(?s)```go\n(.*?)```")

func TestEverySnippetOfThePageIsInAFileThatIsCompiled(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var compiled strings.Builder
	for _, pattern := range []string{"examples/*/*.go", "example_test.go"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("no files %s, error %v", pattern, err)
		}
		for _, path := range paths {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			compiled.WriteString(unindented(string(content)))
		}
	}
	snippets := snippet.FindAllStringSubmatch(string(page), -1)
	if len(snippets) == 0 {
		t.Fatal("the page has no snippets")
	}
	for _, found := range snippets {
		if !strings.Contains(compiled.String(), unindented(found[1])) {
			t.Errorf("in no file:\n%s", found[1])
		}
	}
}

func unindented(code string) string {
	var lines strings.Builder
	for line := range strings.Lines(code) {
		lines.WriteString(strings.TrimSpace(line) + "\n")
	}
	return lines.String()
}
