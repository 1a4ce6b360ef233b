package sim

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
)

// store keeps JSON records by key, in memory and on disk. A write is on disk
// (temporary file, fsync, rename, fsync of the directory) before it returns.
// Keys are paths like iam/111122223333/role/deploy; files are named by the
// key's hash, since names of parameters may be longer than file names.
type store struct {
	dir  string
	disk disk

	mu      sync.RWMutex
	records map[string]json.RawMessage
	order   []string       // the keys, sorted
	decoded map[string]any // what shared has read, until it is written again
}

type storedRecord struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
}

func openStore(dir string, d disk) (*store, error) {
	s := &store{dir: dir, disk: d, records: make(map[string]json.RawMessage), decoded: make(map[string]any)}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the cloud's records: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the cloud's records: %w", err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") { // a write that was cut off before its rename
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return nil, fmt.Errorf("opening the cloud's records: %w", err)
			}
			continue
		}
		if err := s.load(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	s.order = slices.Sorted(maps.Keys(s.records))
	return s, nil
}

func (s *store) load(path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the cloud's record: %w", err)
	}
	var r storedRecord
	if err := json.Unmarshal(raw, &r); err != nil {
		return fmt.Errorf("reading the cloud's record %s: %w", path, err)
	}
	s.records[r.Key] = r.Value
	return nil
}

func (s *store) path(key string) string {
	sum := sha256.Sum256([]byte(key))
	return filepath.Join(s.dir, hex.EncodeToString(sum[:])+".json")
}

// get decodes the record into v and says whether there is one.
func (s *store) get(key string, v any) bool {
	s.mu.RLock()
	raw, ok := s.records[key]
	s.mu.RUnlock()
	return ok && json.Unmarshal(raw, v) == nil
}

// shared is get for readers: a record is decoded once for all of them, and none
// may change what it is handed.
func shared[T any](s *store, key string) (*T, bool) {
	s.mu.RLock()
	known, ok := s.decoded[key].(*T)
	s.mu.RUnlock()
	if ok {
		return known, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v := new(T)
	raw, ok := s.records[key]
	if !ok || json.Unmarshal(raw, v) != nil {
		return nil, false
	}
	s.decoded[key] = v
	return v, true
}

// put writes the record durably.
func (s *store) put(key string, v any) error {
	value, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding record %s: %w", key, err)
	}
	raw, err := json.Marshal(storedRecord{Key: key, Value: value})
	if err != nil {
		return fmt.Errorf("encoding record %s: %w", key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.disk.writeFile(s.path(key), raw)
	if err != nil {
		err = fmt.Errorf("writing record %s: %w", key, err)
	}
	if err == nil || errors.Is(err, errUnsynced) { // what readers see is what a restart would show
		s.remember(key, value)
	}
	return err
}

// remember and forget keep the memory and its index alike. The caller holds
// s.mu.
func (s *store) remember(key string, value json.RawMessage) {
	if _, known := s.records[key]; !known {
		at, _ := slices.BinarySearch(s.order, key)
		s.order = slices.Insert(s.order, at, key)
	}
	s.records[key] = value
	delete(s.decoded, key)
}

func (s *store) forget(key string) {
	if at, known := slices.BinarySearch(s.order, key); known {
		s.order = slices.Delete(s.order, at, at+1)
	}
	delete(s.records, key)
	delete(s.decoded, key)
}

// delete removes the record durably; an absent one is no error.
func (s *store) delete(key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.disk.remove(s.path(key)); err != nil {
		return fmt.Errorf("deleting record %s: %w", key, err)
	}
	s.forget(key)
	return s.disk.syncDir(s.dir)
}

// deleteAll removes every record whose key keep does not hold on to.
func (s *store) deleteAll(keep func(key string) bool) error {
	for _, key := range s.keys("") {
		if keep(key) {
			continue
		}
		if err := s.delete(key); err != nil {
			return err
		}
	}
	return nil
}

// keys lists the keys with a prefix, sorted.
func (s *store) keys(prefix string) []string { return s.keysAfter(prefix, prefix) }

// keysAfter lists the keys with a prefix that come after a key, sorted.
func (s *store) keysAfter(prefix, after string) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	first, found := slices.BinarySearch(s.order, after)
	if found {
		first++
	}
	rest := s.order[first:]
	end := sort.Search(len(rest), func(i int) bool { return !strings.HasPrefix(rest[i], prefix) })
	return slices.Clone(rest[:end])
}
