package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// HistoryOptions says how much of a history is wanted.
type HistoryOptions struct {
	Limit int // how many releases, the newest; 0 means all that SSM keeps: 100
}

// History is what an environment has served, as it recorded it, joined with
// what AgentCore and the repository still have of it.
type History struct {
	Now      Status
	Entries  []Entry // newest first
	Recorded int     // how many releases SSM keeps; Entries may be fewer
}

// Entry is a release in a history.
type Entry struct {
	Release
	// Recorded is false for what serves without being the newest record: made
	// by other hands, or by a delivery that was killed. Such an entry has what
	// can be told without a record.
	Recorded bool
	Serves   bool   // users of the agent get it now
	URI      string // what names its image
	// VersionIs and ImageIs say whether what a rollback needs is there.
	VersionIs, ImageIs Presence
	Tags               []string // those that name its image now
}

// Presence says whether something is still there.
type Presence string

// What can be told of something that was there once.
const (
	There   Presence = "there"
	Gone    Presence = "gone"
	Unknown Presence = "unknown" // it could not be asked for
)

// History reads what the environment has served, newest first. Its joins need
// no permission but those of a delivery, and ask for each version, tag and
// image once. What can't be asked for is Unknown, and a warning.
func (d *Deliverer) History(ctx context.Context, opts HistoryOptions) (*History, error) {
	now, err := d.Status(ctx)
	if errors.Is(err, ErrNotFound) {
		d.warn("%v", err) // the runtime is gone: what it served is known all the same
		now.Runtime = RuntimeState{}
	} else if err != nil {
		return nil, err
	}
	all, err := d.releases(ctx)
	if err != nil {
		return nil, err
	}
	h := &History{Now: now, Recorded: len(all)}
	if e, found := d.unrecorded(ctx, now, all); found {
		h.Entries = append(h.Entries, e)
	}
	for i, r := range slices.Backward(all) {
		if opts.Limit > 0 && len(all)-i > opts.Limit {
			break
		}
		h.Entries = append(h.Entries, Entry{Release: r, Recorded: true, URI: r.imageURI(d.Target)})
	}
	if len(h.Entries) > 0 && now.Runtime.Version != "" {
		h.Entries[0].Serves = true // the newest record names it, or it has none
	}
	for _, served := range now.Endpoints {
		for i := range h.Entries {
			if h.Entries[i].Version == served.LiveVersion {
				h.Entries[i].VersionIs = There // nobody need ask
			}
		}
	}
	return h, d.join(ctx, now.Runtime.ID, h.Entries)
}

// unrecorded is what serves where the newest record does not name it, with
// what can be told of it: by an older record of the version, by the version
// itself, its image's label, and the lock that a delivery of it left.
func (d *Deliverer) unrecorded(ctx context.Context, now Status, all []Release) (Entry, bool) {
	version := now.Runtime.Version
	if version == "" || len(all) > 0 && all[len(all)-1].Version == version {
		return Entry{}, false
	}
	e := Entry{Release: Release{Schema: releaseSchema, Agent: d.Target.Agent, Environment: d.Target.Environment,
		Version: version, Endpoint: d.Target.Serving(), Digest: now.Digest()}, URI: now.Image}
	doc, err := d.Runtimes.Get(ctx, now.Runtime.ID, version)
	facts, wrong := readFacts(doc)
	if err := errors.Join(err, wrong); err != nil {
		d.warn("what version %s is can't be told: %v", version, err)
		return e, true
	}
	if made, err := madeTime(doc, version); err == nil && e.Endpoint == DefaultEndpoint {
		e.At = made // DEFAULT has followed at once
	}
	if name := parseImage(e.URI); e.Digest != "" && d.Target.owns(name) {
		e.Revision = labelledRevision(ctx, d.Repository, e.Digest, facts.compute())
	} else if e.Digest != "" {
		e.Image = name.at(e.Digest)
	}
	for _, r := range all {
		if r.Version == version {
			e.Revision, e.Digest, e.Image, e.Dirty = r.Revision, r.Digest, r.Image, r.Dirty
		}
	}
	if l := now.Lock; l != nil && l.Digest != "" && l.Digest == e.Digest {
		e.Revision, e.By, e.Run = l.Revision, l.Holder, l.Run
	}
	return e, true
}

// Story says in a sentence what a lock tells of the delivery that took it.
func (l Lock) Story(now time.Time) string {
	what := "a delivery of " + short(l.Revision) + " by " + l.Holder
	if l.Revision == "" {
		what = "a delivery by " + l.Holder
	}
	switch {
	case l.Left != "":
		return what + " was interrupted: " + l.Left
	case now.After(l.Expires):
		return fmt.Sprintf("%s was killed: its lock has expired at %s", what, l.Expires.UTC().Format(time.RFC3339))
	case l.Since.IsZero():
		return l.Holder + " holds the lock"
	}
	return fmt.Sprintf("%s is under way since %s; if it is dead, its lock ends at %s", what,
		l.Since.UTC().Format(time.RFC3339), l.Expires.UTC().Format(time.RFC3339))
}

// tag is the one that a delivery gives the release's image, "" where it is not
// known.
func (r *Release) tag() string {
	hex, ok := strings.CutPrefix(r.Digest, "sha256:")
	if r.Dirty && r.Revision != "" && ok && len(hex) > 12 {
		return r.Revision + "-dirty-" + hex[:12]
	}
	return r.Revision
}

// lookupsAtOnce bounds how many questions of a join are open at a time.
const lookupsAtOnce = 8

// lookups are the answers of a join.
type lookups struct {
	mu       sync.Mutex
	versions map[string]Presence
	images   map[string]Presence // digest
	tags     map[string][]string // tag: the digests that it names
	failed   error               // the first question without an answer
}

// join adds to entries what AgentCore and the repository still have of them.
// It fails where it was interrupted.
func (d *Deliverer) join(ctx context.Context, id string, entries []Entry) error {
	l := &lookups{versions: map[string]Presence{}, images: map[string]Presence{}, tags: map[string][]string{}}
	var versions, tags, digests []string
	for _, e := range entries {
		if id != "" && e.VersionIs == "" {
			versions = append(versions, e.Version)
		}
		if e.Image == "" && e.Digest != "" {
			tags = append(tags, e.tag(), latestTag)
			digests = append(digests, e.Digest)
		}
	}
	each(versions, func(v string) { l.askVersion(ctx, d.Runtimes, id, v) })
	each(tags, func(t string) { l.askTag(ctx, d.Repository, t) })
	each(digests, func(digest string) { l.askImage(ctx, d.Repository, digest) })
	if err := ctx.Err(); err != nil {
		return &Error{Kind: KindInterrupted, Op: "reading the history", Err: err}
	}
	if l.failed != nil {
		d.warn("not everything that was recorded could be looked for: %v", l.failed)
	}
	for i := range entries {
		entries[i].joined(l, id)
	}
	return nil
}

func (e *Entry) joined(l *lookups, id string) {
	if e.VersionIs == "" {
		e.VersionIs = Gone // as the whole runtime is
	}
	if p, ok := l.versions[e.Version]; ok && id != "" {
		e.VersionIs = p
	}
	if e.ImageIs = Unknown; e.Image != "" || e.Digest == "" {
		return // another repository's, which a deploy role need not read
	}
	e.ImageIs = l.images[e.Digest]
	for _, tag := range []string{e.tag(), latestTag} {
		if slices.Contains(l.tags[tag], e.Digest) {
			e.Tags = append(e.Tags, tag)
		}
	}
}

// each asks about each of names once, several at a time.
func each(names []string, ask func(string)) {
	slices.Sort(names)
	var group sync.WaitGroup
	slots := make(chan struct{}, lookupsAtOnce)
	for _, name := range slices.Compact(names) {
		if name == "" {
			continue
		}
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			ask(name)
		})
	}
	group.Wait()
}

// presence judges an answer, and keeps the first that says nothing.
func (l *lookups) presence(err error) Presence {
	switch {
	case err == nil:
		return There
	case errors.Is(err, ErrNotFound):
		return Gone
	case l.failed == nil:
		l.failed = err
	}
	return Unknown
}

func (l *lookups) askVersion(ctx context.Context, runtimes Runtimes, id, version string) {
	_, err := runtimes.Get(ctx, id, version)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.versions[version] = l.presence(err)
}

// askTag finds out what a tag names: an image, and where that is an index, its
// children too.
func (l *lookups) askTag(ctx context.Context, images Repository, tag string) {
	digest, err := images.Resolve(ctx, tag)
	var named []string
	if err == nil {
		named = append(children(ctx, images, digest), digest)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.presence(err) == There {
		l.tags[tag] = named
		for _, digest := range named {
			l.images[digest] = There
		}
	}
}

// children are the digests that an index names, none for an image.
func children(ctx context.Context, images Repository, digest string) []string {
	img, err := images.Open(ctx, digest)
	if err != nil {
		return nil
	}
	raw, _, err := img.Manifest(ctx)
	var m ociManifest
	if err != nil || json.Unmarshal(raw, &m) != nil {
		return nil
	}
	var list []string
	for _, c := range m.Manifests {
		list = append(list, c.Digest)
	}
	return list
}

// askImage looks for an image that no tag was found to name.
func (l *lookups) askImage(ctx context.Context, images Repository, digest string) {
	l.mu.Lock()
	_, known := l.images[digest]
	l.mu.Unlock()
	if known {
		return
	}
	_, err := images.Open(ctx, digest)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.images[digest] = l.presence(err)
}
