package build

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/process"
)

// Go builds an agent written in Go: one static binary, one layer, for any
// Linux architecture, with no daemon and no base image.
//
// The image holds /app/<name> and an empty /tmp, runs as user 65532 and
// exposes 8080. It holds no certificate authorities unless Roots names some:
// an agent that calls HTTPS brings them with an import of
// golang.org/x/crypto/x509roots/fallback, the same wherever it is built.
//
// The binary knows its commit (debug.ReadBuildInfo, vcs.revision). The same
// commit built by the same Go has the same digest.
type Go struct {
	// Package is the main package, relative to the build context and within
	// it. If empty, ".".
	Package string
	// Env is the environment that the caller offers, as KEY=value; environ.go
	// lists what the compiler gets of it.
	Env []string
	// Command is the go command. If empty, "go".
	Command string
	// Roots is a PEM file of certificate authorities to put into the image. If
	// empty, none.
	Roots string
}

var _ delivery.Builder = (*Go)(nil)

// Build compiles the package and returns the image, which is kept in memory.
//
// It returns an *delivery.Error: KindFailed with the compiler's own words
// where the code does not compile, KindSource where there is nothing to
// compile, KindConfig for a package or platform that can't be. Where ctx ends,
// the compilers are killed and ctx's error is returned.
func (g *Go) Build(ctx context.Context, req delivery.BuildRequest) (delivery.Image, error) {
	p, err := parsePlatform(req.Platform)
	if err != nil {
		return nil, err
	}
	pkg, err := localPackage(g.Package)
	if err != nil {
		return nil, err
	}
	if err := isContext(req.Source.Dir); err != nil {
		return nil, err
	}
	temp, err := os.MkdirTemp(process.Lookup(g.Env, "TMPDIR"), "slipway-build-")
	if err != nil {
		return nil, fmt.Errorf("making a directory to build in: %w", err)
	}
	defer os.RemoveAll(temp)
	binary, err := g.compile(ctx, req, p, pkg, temp)
	if err != nil {
		return nil, err
	}
	files, err := g.files(binary)
	if err != nil {
		return nil, err
	}
	return assemble(files, p, req.Source)
}

// compile runs go build and returns the path of the one binary it made.
func (g *Go) compile(ctx context.Context, req delivery.BuildRequest, p platform, pkg, temp string) (string, error) {
	out, work := filepath.Join(temp, "out"), filepath.Join(temp, "work")
	for _, dir := range []string{out, work} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return "", fmt.Errorf("making a directory to build in: %w", err)
		}
	}
	command := g.Command
	if command == "" {
		command = "go"
	}
	// GOTMPDIR: what a killed compiler leaves goes away with temp.
	env := environ(g.Env, passed(), append(p.variables(), "CGO_ENABLED=0", "GOTMPDIR="+work, "PWD="+req.Source.Dir,
		"SOURCE_DATE_EPOCH="+strconv.FormatInt(req.Source.Time.Unix(), 10))...)
	_, err := child{program: command, name: "go build", dir: req.Source.Dir, env: env, line: req.Progress,
		args: []string{"build", "-trimpath", "-buildvcs=" + stamp(req.Source), "-ldflags=-s -w -buildid=",
			"-o", out + string(filepath.Separator), "--", pkg}}.run(ctx)
	if err != nil && ctx.Err() == nil {
		return "", explainGo(err, req.Source.Dir, pkg)
	}
	if err != nil {
		return "", err
	}
	path, err := onlyBinary(out, pkg)
	if err != nil {
		return "", err
	}
	return path, knows(path, req.Source)
}

// knows checks that the binary says the commit it is delivered as: go build
// leaves it out where the module is not in a repository, and names another
// one where somebody has committed meanwhile.
func knows(path string, s delivery.Source) error {
	if s.Revision == "" {
		return nil
	}
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading what go build made: %w", err)
	}
	revision := "none"
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			revision = setting.Value
		}
	}
	if revision == s.Revision {
		return nil
	}
	return sourceError("building with go", fmt.Errorf("the binary names the commit %s, not %s", revision, s.Revision),
		"the module has to be in the repository at "+s.Dir+", and its commit must not change during the build")
}

// stamp says whether the binary must know its commit: where there is one, a
// build that can't say it fails rather than be silent.
func stamp(s delivery.Source) string {
	if s.Revision == "" {
		return "auto"
	}
	return "true"
}

// onlyBinary returns the binary that go build has put into dir, named after
// its import path.
func onlyBinary(dir, pkg string) (string, error) {
	made, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("reading what go build made: %w", err)
	}
	if len(made) != 1 {
		return "", &delivery.Error{Kind: delivery.KindConfig, Op: "building " + pkg,
			Err:   fmt.Errorf("it holds %d main packages; an agent is one", len(made)),
			Hints: []string{"name the agent's own main package"}}
	}
	path := filepath.Join(dir, made[0].Name())
	f, err := elf.Open(path)
	if err != nil {
		return "", fmt.Errorf("go build made no program for Linux: %w", err)
	}
	return path, f.Close()
}

// files lists what goes into the layer.
func (g *Go) files(binary string) ([]file, error) {
	program, err := os.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("reading what go build made: %w", err)
	}
	files := []file{{name: "app/" + filepath.Base(binary), mode: 0o755, content: program}}
	if g.Roots == "" {
		return files, nil
	}
	roots, err := os.ReadFile(g.Roots)
	if err == nil && !bytes.Contains(roots, []byte("-----BEGIN CERTIFICATE-----")) {
		err = fmt.Errorf("%s holds no certificate", g.Roots)
	}
	if err != nil {
		return nil, &delivery.Error{Kind: delivery.KindConfig, Op: "reading the certificate authorities", Err: err}
	}
	return append(files, file{name: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, content: roots}), nil
}

// localPackage checks that a package is a directory within the context: "."
// or "./cmd/agent". "cmd/agent" is taken as the latter.
func localPackage(pkg string) (string, error) {
	clean := filepath.ToSlash(filepath.Clean(filepath.FromSlash(pkg)))
	if pkg == "" || clean == "." {
		return ".", nil
	}
	if !filepath.IsLocal(clean) || strings.HasPrefix(clean, "-") || strings.ContainsAny(clean, "@*") || strings.Contains(clean, "...") {
		return "", &delivery.Error{Kind: delivery.KindConfig, Op: "building",
			Err: fmt.Errorf("%q is not a package within the build context", pkg), Hints: []string{"write it as a directory: ./cmd/agent"}}
	}
	return "./" + clean, nil
}

// explainGo tells code that does not compile from there being nothing to
// compile, by the go command's words.
func explainGo(err error, dir, pkg string) error {
	const op = "building with go"
	var f *failure
	switch {
	case errors.Is(err, process.ErrNotFound), errors.Is(err, fs.ErrPermission):
		return &delivery.Error{Kind: delivery.KindConfig, Op: op, Err: err,
			Hints: []string{"the engine go needs the go command: install Go and put it on PATH"}}
	case errors.Is(err, fs.ErrNotExist):
		return sourceError(op, fmt.Errorf("the build context %s is gone: %w", dir, err))
	case !errors.As(err, &f):
		return &delivery.Error{Kind: delivery.KindFailed, Op: op, Err: err}
	}
	for _, c := range goRefusals() {
		if c.saidIn(f.output) {
			return sourceError(op, fmt.Errorf("%s, package %s: %s", dir, pkg, c.means), c.hint)
		}
	}
	return &delivery.Error{Kind: delivery.KindFailed, Op: op, Err: fmt.Errorf("%w\n%s", f.err, withoutNoise(f.output))}
}

// refusal is a text by which the go command says that there is nothing to
// compile.
type refusal struct{ says, means, hint string }

// saidIn looks for the text in lines that name no place in the code: what an
// import lacks is the code's fault.
func (r refusal) saidIn(output string) bool {
	for line := range strings.Lines(output) {
		if strings.Contains(line, r.says) && !strings.Contains(line, ".go:") {
			return true
		}
	}
	return false
}

func goRefusals() []refusal {
	const module = "the build context has to be, or be in, a Go module: go mod init"
	const main = "name the agent's main package, relative to its path"
	return []refusal{
		{"go.mod file not found", "there is no go.mod", module},
		{"cannot find main module", "there is no go.mod", module},
		{"no main packages to build", "it is not a main package", main},
		{"no Go files in", "there are no Go files", main},
		{"build constraints exclude all Go files", "no Go file is for Linux", main},
		{"directory not found", "there is no such directory", main},
		{"main module (", "it is not in the module", main},
		{"error obtaining VCS status", "go can't ask git for the commit",
			"run git status there; where git mentions safe.directory, follow its advice"},
	}
}

// withoutNoise drops the list of downloads that stands before an error.
func withoutNoise(output string) string {
	var kept []string
	for _, line := range strings.Split(output, "\n") {
		if !strings.HasPrefix(line, "go: downloading ") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// platform is what to build for.
type platform struct{ os, arch string }

// parsePlatform reads linux/<architecture>.
func parsePlatform(s string) (platform, error) {
	system, arch, ok := strings.Cut(s, "/")
	if !ok || system != "linux" || arch == "" || strings.ContainsAny(arch, "/ =\x00") {
		return platform{}, &delivery.Error{Kind: delivery.KindConfig, Op: "building",
			Err:   fmt.Errorf("%q is not a platform that agents run on", s),
			Hints: []string{"build.platform is linux/arm64, or linux/amd64 with compute: instances"}}
	}
	return platform{system, arch}, nil
}

// variables fixes the target, the CPU's level included: a build machine's own
// choice must not decide what the agent can run on.
func (p platform) variables() []string {
	return []string{"GOOS=" + p.os, "GOARCH=" + p.arch, "GOARM64=v8.0", "GOAMD64=v1"}
}
