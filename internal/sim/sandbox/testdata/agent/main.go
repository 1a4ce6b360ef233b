// Command agent is a test's agent: it answers the container contract and does
// what its payload asks for.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == "leave" {
		leave(os.Args[2])
		return
	}
	if len(os.Args) > 2 && os.Args[1] == "stay" {
		deaf()
		time.Sleep(time.Hour)
	}
	switch os.Getenv("MODE") {
	case "crash":
		fmt.Fprintln(os.Stderr, "Traceback: ModuleNotFoundError: No module named 'strands'")
		os.Exit(3)
	case "unhealthy":
		time.Sleep(time.Hour)
	case "stubborn":
		stubborn(os.Getenv("MARK"))
	}
	if len(os.Args) > 1 && os.Args[1] == "sleep" {
		time.Sleep(time.Hour)
	}
	fmt.Println("agent starts, revision", os.Getenv("REVISION"))
	http.HandleFunc("GET /ping", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"status":"Healthy"}`)
	})
	http.HandleFunc("POST /invocations", invoke)
	if err := http.ListenAndServe(":8080", nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// stubborn leaves processes behind that nobody waits for, in sessions of their
// own and deaf to signals, and is deaf itself.
func stubborn(mark string) {
	deaf()
	for range 3 {
		if err := start("leave", mark).Wait(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

// leave is the first half of a double fork: its child has no parent soon.
func leave(mark string) { start("stay", mark) }

func start(what, mark string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", what, mark)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr // the output stays open, too
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return cmd
}

func deaf() { signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT) }

type request struct {
	Do   string `json:"do"`
	Arg  string `json:"arg"`
	Text string `json:"text"`
}

func invoke(w http.ResponseWriter, r *http.Request) {
	var q request
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	switch q.Do {
	case "fail":
		fmt.Println("the handler fails")
		http.Error(w, "no", http.StatusInternalServerError)
	case "exit":
		os.Exit(7)
	case "stream":
		stream(w)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer(q, r))
	}
}

func stream(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprint(w, "data: one\n\n")
	w.(http.Flusher).Flush()
	fmt.Fprint(w, "data: two\n\n")
}

func answer(q request, r *http.Request) map[string]any {
	out := map[string]any{"revision": os.Getenv("REVISION"), "pid": os.Getpid(), "uid": os.Getuid(),
		"session": r.Header.Get("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"), "headers": r.Header}
	var err error
	switch q.Do {
	case "read":
		var raw []byte
		raw, err = os.ReadFile(q.Arg)
		out["text"] = string(raw)
	case "write":
		err = os.WriteFile(q.Arg, []byte(q.Text), 0o600)
	case "list":
		out["names"], err = list(q.Arg)
	case "env":
		out["env"] = os.Environ()
	case "get":
		err = get(q.Arg, out)
	case "spawn":
		err = exec.Command("/proc/self/exe", "sleep").Start()
	case "mkroot":
		err = errors.Join(os.Mkdir("/made-by-agent", 0o700))
	}
	if err != nil {
		out["error"] = err.Error()
	}
	return out
}

func list(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func get(url string, out map[string]any) error {
	client := http.Client{Timeout: 2 * time.Second}
	res, err := client.Get(url)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	out["text"] = strings.TrimSpace(string(raw))
	return err
}
