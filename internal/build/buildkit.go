package build

import (
	"context"
	"net"
	"strings"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/process"
)

// Buildctl builds a Dockerfile with a buildkitd, near or far, through
// BuildKit's own client buildctl (docs/adr/0001-build-engines.md says why not
// by its library). It needs no Docker.
type Buildctl struct {
	Dockerfile
	// Address is where buildkitd listens: unix:///path or tcp://host:port. If
	// empty, BUILDKIT_HOST of Env, else buildctl's own default.
	Address string
	// TLS is a directory with ca.pem, cert.pem and key.pem for tcp. If empty,
	// the connection is not encrypted.
	TLS string
	// Env is the environment that the caller offers, as KEY=value; environ.go
	// lists what buildctl gets of it.
	Env []string
	// Command is the buildctl command. If empty, "buildctl".
	Command string
}

var _ delivery.Builder = (*Buildctl)(nil)

const opBuildKit = "building with buildkit"

// Build builds and returns the image, which is an io.Closer: its files are in
// a temporary directory. Its errors are those of Docker.Build.
func (b *Buildctl) Build(ctx context.Context, req delivery.BuildRequest) (delivery.Image, error) {
	if err := b.private(); err != nil {
		return nil, err
	}
	o, err := b.begin(req, b.Env)
	if err != nil {
		return nil, err
	}
	img, err := b.build(ctx, o)
	if err != nil {
		o.discard()
		return nil, err
	}
	return img, nil
}

func (b *Buildctl) private() error {
	address := b.Address
	if address == "" {
		address = process.Lookup(b.Env, "BUILDKIT_HOST")
	}
	return b.unheard(opBuildKit, address, b.TLS != "", "set build.tls in slipway.yaml to a directory with ca.pem, cert.pem and key.pem")
}

func isLoopback(hostPort string) bool {
	host, _, err := net.SplitHostPort(hostPort)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

func (b *Buildctl) build(ctx context.Context, o *order) (*spooled, error) {
	format, parse := "plain", (*steps).plain
	help, err := b.child(o, "build", "--help").run(ctx)
	if err != nil {
		return nil, newSteps(o, parse).explain(opBuildKit, "buildctl", err)
	}
	if strings.Contains(help, "rawjson") {
		format, parse = "rawjson", (*steps).report
	}
	archive, s := o.file("image.tar"), newSteps(o, parse)
	args := append(b.connection(), "build", "--frontend=dockerfile.v0", "--progress="+format)
	args = append(args, o.buildctlFlags()...)
	// rewrite-timestamp: files that the build made get the commit's time too.
	c := b.child(o, append(args, "--output="+fields("type=oci", "dest="+archive, "rewrite-timestamp=true"))...)
	c.line, c.longest = s.line, longestReport
	if _, err := c.run(ctx); err != nil {
		return nil, s.explain(opBuildKit, "buildctl", err)
	}
	return openArchive(archive, o.spool)
}

func (b *Buildctl) child(o *order, args ...string) child {
	program := b.Command
	if program == "" {
		program = "buildctl"
	}
	return child{program: program, name: "buildctl build", args: args, dir: o.req.Source.Dir, env: o.env}
}

func (b *Buildctl) connection() []string {
	var flags []string
	if b.Address != "" {
		flags = append(flags, "--addr="+b.Address)
	}
	if b.TLS != "" {
		flags = append(flags, "--tlsdir="+b.TLS)
	}
	return flags
}

// buildctlFlags is the order in buildctl's words.
func (o *order) buildctlFlags() []string {
	flags := []string{"--local=context=.", "--local=dockerfile=.",
		"--opt=filename=" + o.Path, "--opt=platform=" + o.req.Platform}
	for _, a := range o.arguments() {
		flags = append(flags, "--opt=build-arg:"+a)
	}
	for _, l := range o.labelled() {
		flags = append(flags, "--opt=label:"+l)
	}
	for _, m := range o.mounts() {
		flags = append(flags, "--secret="+m)
	}
	if o.Target != "" {
		flags = append(flags, "--opt=target="+o.Target)
	}
	for _, c := range o.CacheFrom {
		flags = append(flags, "--import-cache="+c)
	}
	for _, c := range o.CacheTo {
		flags = append(flags, "--export-cache="+c)
	}
	return flags
}
