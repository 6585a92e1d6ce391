package tokend_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	snippet = regexp.MustCompile("(?s)```go\n(.*?)```")
	shell   = regexp.MustCompile("(?s)```sh\n(.*?)```")
)

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

func TestAModuleInstallsTheClientAndBuildsTheFirstProgramAsThePageSays(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	checkout, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	directory := t.TempDir()
	if err := os.Symlink(checkout, filepath.Join(directory, "tokend")); err != nil {
		t.Fatal(err)
	}
	module := filepath.Join(directory, "module")
	if err := os.Mkdir(module, 0o700); err != nil {
		t.Fatal(err)
	}
	commands := strings.Split(strings.TrimSpace(shell.FindStringSubmatch(string(page))[1]), "\n")
	files := map[string]string{
		"go.mod":  "module example.test/first\n",
		"main.go": snippet.FindStringSubmatch(string(page))[1],
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(module, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range append(commands, "go build -o "+os.DevNull+" .") {
		command := exec.CommandContext(t.Context(), "sh", "-c", line)
		command.Dir = module
		// What it needs of others is there already, since this module needs it too; the client itself is on no proxy.
		command.Env = append(os.Environ(), "GOPROXY=http://127.0.0.1:9", "GOSUMDB=off", "GOWORK=off")
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, output)
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
