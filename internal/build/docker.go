package build

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/process"
)

// Docker builds a Dockerfile with the docker command, with the builders,
// contexts and logins that its user has set up.
//
// Where the plugin buildx is there, and its builder can, the image is exported
// as an OCI archive. The builder inside a daemon with the classic image store,
// and a docker without buildx, can't: there the image is built into the store
// under a name of its own, saved, converted, and the name is removed.
type Docker struct {
	Dockerfile
	// Env is the environment that the caller offers, as KEY=value; environ.go
	// lists what docker gets of it.
	Env []string
	// Command is the docker command. If empty, "docker".
	Command string
}

var _ delivery.Builder = (*Docker)(nil)

const opDocker = "building with docker"

// Build builds and returns the image, which is an io.Closer: its files are in
// a temporary directory.
//
// It returns an *delivery.Error: KindFailed with a failed step's own last
// lines, KindSource where there is no Dockerfile, KindUnavailable where the
// daemon does not answer, KindConfig for what the docker at hand can't do.
// Where ctx ends, docker is killed and ctx's error is returned.
func (d *Docker) Build(ctx context.Context, req delivery.BuildRequest) (delivery.Image, error) {
	if err := d.private(); err != nil {
		return nil, err
	}
	o, err := d.begin(req, d.Env)
	if err != nil {
		return nil, err
	}
	img, err := d.build(ctx, o)
	if err != nil {
		o.discard()
		return nil, err
	}
	return img, nil
}

// private looks at DOCKER_HOST, which counts before any context.
func (d *Docker) private() error {
	encrypted := process.Lookup(d.Env, "DOCKER_TLS") != "" || process.Lookup(d.Env, "DOCKER_TLS_VERIFY") != ""
	return d.unheard(opDocker, process.Lookup(d.Env, "DOCKER_HOST"), encrypted,
		"set DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, or reach the daemon by ssh://")
}

func (d *Docker) build(ctx context.Context, o *order) (*spooled, error) {
	can, err := d.look(ctx, o)
	if err != nil {
		return nil, err
	}
	if !can.exports {
		return d.throughStore(ctx, o, can)
	}
	archive := o.file("image.tar")
	// rewrite-timestamp: files that the build made get the commit's time too.
	err = d.run(ctx, o, can, "--output="+fields("type=oci", "dest="+archive, "rewrite-timestamp=true"))
	if err != nil {
		return nil, err
	}
	return openArchive(archive, o.spool)
}

// abilities is what the docker at hand can do.
type abilities struct {
	buildx  bool
	rawjson bool // tells its progress as data
	exports bool // writes OCI archives
}

var driverLine = regexp.MustCompile(`(?m)^Driver:[ \t]*(\S*)`)

// look asks docker what it can do.
func (d *Docker) look(ctx context.Context, o *order) (abilities, error) {
	help, err := d.ask(ctx, o, "buildx", "build", "--help")
	var f *failure
	if err != nil && !errors.As(err, &f) {
		return abilities{}, newSteps(o, (*steps).plain).explain(opDocker, "docker", err)
	}
	if !strings.Contains(help, "--output") {
		return abilities{}, nil // docker's own help
	}
	can := abilities{buildx: true, rawjson: strings.Contains(help, "rawjson")}
	builder, err := d.ask(ctx, o, "buildx", "inspect")
	if err != nil {
		return abilities{}, d.explainAsked(err, builder)
	}
	switch driver := driverLine.FindStringSubmatch(builder); {
	case driver == nil || driver[1] == "":
		return abilities{}, d.explainAsked(errors.New("docker buildx inspect: the builder has no driver"), builder)
	case driver[1] != "docker":
		can.exports = true
		return can, nil
	}
	// The daemon's own builder exports what its image store can hold.
	store, err := d.ask(ctx, o, "info", "--format", "{{json .DriverStatus}}")
	if err != nil {
		return abilities{}, d.explainAsked(err, store)
	}
	can.exports = strings.Contains(store, "io.containerd.snapshotter")
	return can, nil
}

func (d *Docker) explainAsked(err error, said string) error {
	var f *failure
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &f):
		said += f.output
	}
	return explainSaid(opDocker, "docker", said, err)
}

// ask runs a docker command that only tells something.
func (d *Docker) ask(ctx context.Context, o *order, args ...string) (string, error) {
	return child{program: d.command(), name: "docker " + args[0], args: args, dir: o.req.Source.Dir, env: o.env}.run(ctx)
}

func (d *Docker) command() string {
	if d.Command == "" {
		return "docker"
	}
	return d.Command
}

// run runs the build itself, with flags that say where the image goes.
func (d *Docker) run(ctx context.Context, o *order, can abilities, output ...string) error {
	args, format, parse := []string{"build"}, "plain", (*steps).plain
	if can.buildx {
		args = []string{"buildx", "build"}
	}
	if can.rawjson {
		format, parse = "rawjson", (*steps).report
	}
	settings, err := o.dockerFlags(can)
	if err != nil {
		return err
	}
	args = append(append(append(args, "--progress="+format), settings...), output...)
	s := newSteps(o, parse)
	_, err = child{program: d.command(), name: "docker " + args[0], args: append(args, "."), dir: o.req.Source.Dir,
		env: o.env, line: s.line, longest: longestReport}.run(ctx)
	if err != nil {
		return s.explain(opDocker, "docker", err)
	}
	return nil
}

// dockerFlags is the order in docker's words.
func (o *order) dockerFlags(can abilities) ([]string, error) {
	flags := []string{"--platform=" + o.req.Platform, "--file=" + o.Path}
	for _, a := range o.arguments() {
		flags = append(flags, "--build-arg="+a)
	}
	for _, l := range o.labelled() {
		flags = append(flags, "--label="+l)
	}
	for _, m := range o.mounts() {
		flags = append(flags, "--secret="+m)
	}
	if o.Target != "" {
		flags = append(flags, "--target="+o.Target)
	}
	if !can.buildx {
		cache, err := o.plainCache()
		return append(flags, cache...), err
	}
	for _, c := range o.CacheFrom {
		flags = append(flags, "--cache-from="+c)
	}
	for _, c := range o.CacheTo {
		flags = append(flags, "--cache-to="+c)
	}
	return flags, nil
}

// plainCache is the cache in the words of a docker without buildx, which
// knows one kind: a cache within the image itself.
func (o *order) plainCache() ([]string, error) {
	var flags []string
	for _, c := range o.CacheFrom {
		ref := strings.TrimPrefix(c, "type=registry,ref=")
		if strings.ContainsAny(ref, "=,") {
			return nil, needsBuildx("cache_from: " + c)
		}
		flags = append(flags, "--cache-from="+ref)
	}
	for _, c := range o.CacheTo {
		if c != "type=inline" {
			return nil, needsBuildx("cache_to: " + c)
		}
		flags = append(flags, "--build-arg=BUILDKIT_INLINE_CACHE=1")
	}
	return flags, nil
}

func needsBuildx(what string) error {
	return &delivery.Error{Kind: delivery.KindConfig, Op: opDocker,
		Err: fmt.Errorf("this docker has no buildx, which %s needs", what),
		Hints: []string{"install docker-buildx-plugin, or set build.engine: buildkit",
			"without buildx, cache_from names images and cache_to is type=inline"}}
}

// throughStore builds into the daemon's image store and saves from there.
func (d *Docker) throughStore(ctx context.Context, o *order, can abilities) (*spooled, error) {
	tag := "slipway-build:" + hex.EncodeToString(unique())
	output := []string{"--tag=" + tag, "--iidfile=" + o.file("id")}
	if can.buildx {
		output = append(output, "--load")
	}
	if err := d.run(ctx, o, can, output...); err != nil {
		return nil, err
	}
	defer d.untag(ctx, o, tag)
	id, err := os.ReadFile(o.file("id"))
	if err != nil {
		return nil, fmt.Errorf("reading the id of the image that docker built: %w", err)
	}
	archive := o.file("saved.tar")
	if out, err := d.ask(ctx, o, "image", "save", "--output="+archive, tag); err != nil {
		return nil, d.explainAsked(err, out)
	}
	img, err := convert(ctx, archive, o.spool, string(bytes.TrimSpace(id)))
	if err != nil {
		return nil, err
	}
	return img, os.Remove(archive)
}

func unique() []byte {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // it never fails
	return b
}

// untag takes our name off the image in docker's store. What else names it
// stays; so does the build's cache.
func (d *Docker) untag(ctx context.Context, o *order, tag string) {
	limit := 10 * time.Second
	if ctx.Err() != nil {
		limit = time.Second // somebody is waiting for us to end
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	_, _ = d.ask(ctx, o, "image", "rm", tag) // an image is left over: docker image prune
}
