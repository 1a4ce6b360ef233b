package build

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/process"
)

// Dockerfile is what the engines docker and buildkit build from, and how.
type Dockerfile struct {
	// Path is the file, relative to the build context. If empty, "Dockerfile".
	Path string
	// Args are build arguments. They stay in the image's history.
	Args map[string]string
	// Target is the stage to build. If empty, the last one.
	Target string
	// Secrets are mounted into the steps that ask for them, and are nowhere
	// else: not in the image, an argument or the log.
	Secrets []Secret
	// CacheFrom and CacheTo are where BuildKit reads and writes its cache, in
	// BuildKit's own words: type=registry,ref=HOST/NAME:TAG, type=local,dest=DIR.
	CacheFrom, CacheTo []string
}

// order is one build of a Dockerfile: all that a client has to be told.
type order struct {
	Dockerfile
	req   delivery.BuildRequest
	spool string   // a private directory
	env   []string // the client's
	mask  mask
}

// begin checks what can be checked without a daemon, and makes the directory
// that the image is spooled to. Whoever gets an order discards it, or hands
// its directory on.
func (d Dockerfile) begin(req delivery.BuildRequest, offered []string) (*order, error) {
	if _, err := parsePlatform(req.Platform); err != nil {
		return nil, err
	}
	if err := isContext(req.Source.Dir); err != nil {
		return nil, err
	}
	if d.Path == "" {
		d.Path = "Dockerfile"
	}
	if err := d.exists(req.Source.Dir); err != nil {
		return nil, err
	}
	o := &order{Dockerfile: d, req: req}
	values, err := d.read(offered)
	if err != nil {
		return nil, err
	}
	o.mask = newMask(values)
	// The last of two equal variables counts, so a secret is named by nothing
	// that decides about the build.
	own := append(d.variables(offered), "DOCKER_BUILDKIT=1", "BUILDX_NO_DEFAULT_ATTESTATIONS=1", "DOCKER_CLI_HINTS=false",
		"NO_COLOR=1", "LC_ALL=C", "PWD="+req.Source.Dir, "SOURCE_DATE_EPOCH="+o.epoch())
	o.env = environ(offered, containers(), own...)
	if o.spool, err = os.MkdirTemp(process.Lookup(offered, "TMPDIR"), "slipway-build-"); err != nil {
		return nil, fmt.Errorf("making a directory to build in: %w", err)
	}
	return o, nil
}

func (o *order) discard() { os.RemoveAll(o.spool) }

// file is a path in the order's own directory.
func (o *order) file(name string) string { return filepath.Join(o.spool, name) }

func (o *order) epoch() string { return strconv.FormatInt(o.req.Source.Time.Unix(), 10) }

// isContext checks that there is something to build from.
func isContext(dir string) error {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return sourceError("building", fmt.Errorf("the build context %s is not a directory", dir),
			"set the agent's path in slipway.yaml to a directory of the repository")
	}
	return nil
}

func (d Dockerfile) exists(dir string) error {
	if !filepath.IsLocal(filepath.FromSlash(d.Path)) {
		return &delivery.Error{Kind: delivery.KindConfig, Op: "building",
			Err: fmt.Errorf("the Dockerfile %q is not within the build context", d.Path)}
	}
	info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(d.Path)))
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a file")
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New("there is no such file")
	}
	return sourceError("building", fmt.Errorf("%s in %s: %w", d.Path, dir, err),
		"build.dockerfile in slipway.yaml names it, relative to the agent's path",
		"an agent written in Go needs none: build.engine: go")
}

// arguments lists the build's arguments as NAME=value, sorted, the commit's
// time among them: BuildKit gives it to what it makes.
func (o *order) arguments() []string {
	list := []string{"SOURCE_DATE_EPOCH=" + o.epoch()}
	for _, name := range slices.Sorted(maps.Keys(o.Args)) {
		list = append(list, name+"="+o.Args[name])
	}
	return list
}

// labelled lists the image's labels as NAME=value, sorted.
func (o *order) labelled() []string {
	var list []string
	all := labels(o.req.Source)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, name+"="+all[name])
	}
	return list
}

// fields joins what BuildKit's clients read as a line of CSV: a path may hold
// commas.
func fields(values ...string) string {
	var b strings.Builder
	w := csv.NewWriter(&b)
	_ = w.Write(values) // a strings.Builder takes everything
	w.Flush()
	return strings.TrimSuffix(b.String(), "\n")
}
