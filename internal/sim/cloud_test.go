package sim

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestStateIsForOneCloud(t *testing.T) {
	c, _, _ := openCloud(t, nil)
	second := &Cloud{Dir: c.Dir}
	if err := second.Open(); err == nil || !strings.Contains(err.Error(), "another local cloud") {
		t.Errorf("a second cloud on the same state: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Errorf("closing what could not be opened: %v", err)
	}
	kill(t, c)
	third := &Cloud{Dir: c.Dir}
	if err := third.Open(); err != nil {
		t.Errorf("after the first was killed: %v", err)
	}
	if err := third.Close(); err != nil {
		t.Error(err)
	}
}

func TestOpenFailsAndCloses(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "journal.jsonl"), 0o700); err != nil {
		t.Fatal(err)
	}
	c := &Cloud{Dir: dir}
	if c.Open() == nil {
		t.Error("a journal that is a directory is opened")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestStoreForgetsHalfWrittenFiles(t *testing.T) {
	dir := t.TempDir()
	half := filepath.Join(dir, ".new-123")
	if err := os.WriteFile(half, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openStore(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(half); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
}

func TestJournalIsBoundedAndMended(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	if err := os.WriteFile(path, []byte(`{"action":"Whole"}`+"\n"+`{"action":"Cut`), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &Cloud{Dir: filepath.Dir(path)}
	if err := c.Open(); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	long := strings.Repeat("é", 1<<20)
	c.journal.add(Call{Action: long, Resource: long, Path: long, Principal: long, Why: long})
	c.journal.add(Call{Action: "Last"})
	calls := c.Journal()
	if len(calls) != 3 || calls[0].Action != "Whole" || calls[2].Action != "Last" {
		t.Fatalf("the journal has %d calls", len(calls))
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() > 64<<10 {
		t.Errorf("the journal has %d bytes: %v", info.Size(), err)
	}
}

// TestNoAgentAfterClose: a call that comes while the cloud closes starts none.
func TestNoAgentAfterClose(t *testing.T) {
	c := &Cloud{Dir: t.TempDir()}
	if err := c.Open(); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := c.beginSession(invocation{}, &runtimeRecord{}, &versionRecord{})
	if f := asFault(err); f == nil || f.Status != http.StatusInternalServerError {
		t.Errorf("a session begins: %v", err)
	}
}
