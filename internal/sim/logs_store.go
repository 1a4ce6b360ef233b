package sim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// logsState keeps the ends of the groups' files. Events are in one file per
// group, a JSON object a line, under Dir/logs.
type logsState struct {
	mu   sync.Mutex
	ends map[string]logEnd // by the group's key; read from the file on first use
}

type logEnd struct {
	seq  int64 // of the last event
	size int64
	time int64
}

// maxLogFile bounds a group's file: the older half goes when it is full.
const maxLogFile = 16 << 20

// logRecord is a group's record in the store.
type logRecord struct {
	Name    string `json:"name"`
	Created int64  `json:"created"` // Unix milliseconds
	File    string `json:"file"`
}

// logEvent is one event. Seq orders the events of a group, across streams.
type logEvent struct {
	Seq     int64  `json:"q"`
	Time    int64  `json:"t"` // Unix milliseconds
	Stream  string `json:"s"`
	Message string `json:"m"`
}

func logKey(account, region, group string) string {
	return "logs/" + account + "/" + region + "/" + group
}

func (c *Cloud) logFile(g logRecord) string { return filepath.Join(c.Dir, "logs", g.File) }

// logGroups lists the groups of an account and region by name.
func (c *Cloud) logGroups(account, region string) []logRecord {
	var all []logRecord
	for _, key := range c.store.keys(logKey(account, region, "")) {
		var g logRecord
		if c.store.get(key, &g) {
			all = append(all, g)
		}
	}
	return all
}

// appendLogs keeps what an agent printed as log events of a group and stream,
// and makes the group if there is none. Unlike records, events are not synced
// to the disk one by one: nobody was promised them.
func (c *Cloud) appendLogs(account, region, group, stream string, lines []string) error {
	c.logs.mu.Lock()
	defer c.logs.mu.Unlock()
	key := logKey(account, region, group)
	var g logRecord
	if !c.store.get(key, &g) {
		g = logRecord{Name: group, Created: c.now().UnixMilli(), File: newID(12) + ".jsonl"}
		if err := c.disk.mkdir(filepath.Join(c.Dir, "logs")); err != nil {
			return fmt.Errorf("making the log group %s: %w", group, err)
		}
		if err := c.store.put(key, g); err != nil {
			return err
		}
	}
	if len(lines) == 0 {
		return nil
	}
	end, err := c.logEnd(key, g)
	if err != nil {
		return err
	}
	// Times never go back, so that the order of events is that of their times.
	end.time = max(end.time, c.now().UnixMilli())
	var b bytes.Buffer
	for _, line := range lines {
		end.seq++
		raw, err := json.Marshal(logEvent{Seq: end.seq, Time: end.time, Stream: stream, Message: strings.ToValidUTF8(line, "\uFFFD")})
		if err != nil {
			return fmt.Errorf("keeping a log event of %s: %w", group, err)
		}
		b.Write(append(raw, '\n'))
	}
	if err := c.disk.append(c.logFile(g), b.Bytes()); err != nil {
		delete(c.logs.ends, key) // the next event looks for itself where the file ends
		return fmt.Errorf("keeping a log event of %s: %w", group, err)
	}
	end.size += int64(b.Len())
	c.logs.ends[key] = end
	if end.size > maxLogFile {
		return c.halveLog(key, g)
	}
	return nil
}

// logEnd finds where a group's file ends. A line that a crash cut off is
// closed, so that the next one is whole.
func (c *Cloud) logEnd(key string, g logRecord) (logEnd, error) {
	if c.logs.ends == nil {
		c.logs.ends = make(map[string]logEnd)
	}
	if end, ok := c.logs.ends[key]; ok {
		return end, nil
	}
	raw, err := os.ReadFile(c.logFile(g))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return logEnd{}, err
	}
	end := logEnd{size: int64(len(raw))}
	for _, e := range parseEvents(raw) {
		end.seq, end.time = e.Seq, e.Time
	}
	if len(raw) > 0 && raw[len(raw)-1] != '\n' {
		end.size++
		return end, c.disk.append(c.logFile(g), []byte{'\n'})
	}
	return end, nil
}

// halveLog drops the older half of a group's events.
func (c *Cloud) halveLog(key string, g logRecord) error {
	raw, err := os.ReadFile(c.logFile(g))
	if err != nil {
		return err
	}
	cut := len(raw) / 2
	cut += bytes.IndexByte(raw[cut:], '\n') + 1
	if err := c.disk.writeFile(c.logFile(g), raw[cut:]); err != nil {
		return fmt.Errorf("shortening the log group %s: %w", g.Name, err)
	}
	end := c.logs.ends[key]
	end.size = int64(len(raw) - cut)
	c.logs.ends[key] = end
	return nil
}

// readLogs returns a group's events, the oldest first.
func (c *Cloud) readLogs(account, region, group string) ([]logEvent, error) {
	var g logRecord
	if !c.store.get(logKey(account, region, group), &g) {
		return nil, noLogGroup()
	}
	c.logs.mu.Lock()
	raw, err := os.ReadFile(c.logFile(g))
	c.logs.mu.Unlock() // agents that print need not wait for what follows
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the log group %s: %w", group, err)
	}
	return parseEvents(raw), nil
}

// parseEvents reads a file of events; a line that was cut off is left out.
func parseEvents(raw []byte) []logEvent {
	var events []logEvent
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, maxLogFile)
	for lines.Scan() {
		var e logEvent
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Seq > 0 {
			events = append(events, e)
		}
	}
	return events
}

// resetLogs removes every event.
func (c *Cloud) resetLogs() error {
	c.logs.mu.Lock()
	defer c.logs.mu.Unlock()
	c.logs.ends = nil
	if err := os.RemoveAll(filepath.Join(c.Dir, "logs")); err != nil {
		return fmt.Errorf("removing the logs: %w", err)
	}
	return nil
}
