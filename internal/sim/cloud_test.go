package sim

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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
	if _, err := openStore(dir, disk{}); err != nil {
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
	_, err := c.sessionFor(invocation{})
	if f := asFault(err); f == nil || f.Status != http.StatusInternalServerError {
		t.Errorf("a session begins: %v", err)
	}
}

func TestWhatHasEndedMakesRoom(t *testing.T) {
	clock := &movedClock{at: time.Now()}
	c, _, _ := openCloud(t, clock.now)
	r := role{Account: DefaultAccount, Name: "r", ID: "AROAX"}
	old := must[accessKey](t)(c.newSession(r, "s", "", "", time.Hour))
	must[JobState](t)(c.startJob(Job{Repository: "acme/agents"}, "127.0.0.1:1"))
	clock.add(26 * time.Hour)
	must[accessKey](t)(c.newSession(r, "s", "", "", time.Hour))
	var kept accessKey
	if c.store.get(keyRecord+old.ID, &kept) {
		t.Error("the session of yesterday is kept")
	}
	clock.add(keptRuns)
	if err := c.forgetRuns(); err != nil {
		t.Fatal(err)
	}
	if old := append(c.store.keys(jobRecord), c.store.keys(workflowRunRecord)...); len(old) > 0 {
		t.Errorf("runs of last season are kept: %v", old)
	}
}

func TestGivenUpUploadsAreSwept(t *testing.T) {
	h := newHub(t, "team/agent")
	old := h.do("POST", "/blobs/uploads/", nil).Header.Get("Location")
	young := h.do("POST", "/blobs/uploads/", nil).Header.Get("Location")
	past := time.Now().Add(-uploadLife - time.Hour)
	if err := os.Chtimes(filepath.Join(h.dir("uploads"), filepath.Base(old)), past, past); err != nil {
		t.Fatal(err)
	}
	kill(t, h.cloud)
	again := &Cloud{Dir: h.cloud.Dir}
	if err := again.Open(); err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	left := must[[]os.DirEntry](t)(os.ReadDir(h.dir("uploads")))
	if len(left) != 1 || left[0].Name() != filepath.Base(young) {
		t.Errorf("uploads: %v", left)
	}
}

// TestOddDirectory: the state's place is not read as a pattern.
func TestOddDirectory(t *testing.T) {
	c := &Cloud{Dir: filepath.Join(t.TempDir(), "odd [name")}
	if err := c.Open(); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	part := filepath.Join(c.agentsDir("images"), ".part-1")
	if err := os.MkdirAll(part, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := c.sweepAgents(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(part); !os.IsNotExist(err) {
		t.Errorf("an image unpacked by half is left: %v", err)
	}
}
