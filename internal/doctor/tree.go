package doctor

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// source is what HEAD names.
func (x *examination) source(ctx context.Context) (delivery.Source, error) {
	return x.head.get(func() (delivery.Source, error) {
		if x.Git == nil {
			return delivery.Source{}, skipped("no work tree")
		}
		return x.Git.Head(ctx)
	})
}

func commit(ctx context.Context, x *examination) (string, error) {
	source, err := x.source(ctx)
	var e *delivery.Error
	if errors.As(err, &e) && e.Kind == delivery.KindSource {
		x.finding("doctor/no-commit", e.Error(), strings.Join(e.Hints, "; "))
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if source.Dirty {
		x.finding("doctor/dirty", "the work tree differs from "+source.Revision[:7]+": a deploy says so or refuses",
			"commit or stash what has changed")
	}
	if shallow, err := x.Git.Shallow(ctx); err == nil && shallow {
		x.finding("doctor/shallow", "the clone is shallow: earlier revisions can't be named by a prefix",
			"fetch-depth: 0 in actions/checkout, where that is wanted")
	}
	return source.Revision[:7], nil
}

func buildContext(_ context.Context, x *examination) (string, error) {
	p := x.Project
	if x.Tree == nil {
		return "", skipped("no work tree")
	}
	info, err := fs.Stat(x.Tree, p.Path)
	if err != nil || !info.IsDir() {
		x.finding("doctor/no-context", "the agent's path "+p.Path+" is no directory of the repository",
			"correct agents."+x.Target.Agent+".path in slipway.yaml").in(p.File)
		return "", nil //nolint:nilerr // it is the finding
	}
	if p.Dockerfile == "" {
		return p.Path, nil
	}
	file := path.Join(p.Path, p.Dockerfile)
	text, err := fs.ReadFile(x.Tree, file)
	if err != nil {
		x.finding("doctor/no-dockerfile", "there is no "+file, "correct build.dockerfile of the agent in slipway.yaml").in(p.File)
		return "", nil //nolint:nilerr // it is the finding
	}
	for _, pin := range pinnedPlatforms(text) {
		if !slices.Contains(x.Target.Compute.Platforms(), pin.platform) {
			x.finding("doctor/dockerfile-platform", fmt.Sprintf("FROM pins %s; this runtime runs %s", pin.platform,
				strings.Join(x.Target.Compute.Platforms(), " or ")),
				"drop --platform: the stage that runs takes build.platform by itself").in(file).Line = pin.line
		}
	}
	return file, nil
}

// pin is a platform that the stage which runs is fixed to.
type pin struct {
	platform string
	line     int
}

var fromLine = regexp.MustCompile(`(?i)^\s*FROM\s+(?:--platform=(\S+)\s+)?(\S+)(?:\s+AS\s+(\S+))?\s*$`)

// pinnedPlatforms finds the FROM of the last stage, and of those that it
// begins with, where they pin a platform in plain words: --platform, or an
// image of amd64/. Other stages may run on the builder's own platform.
func pinnedPlatforms(dockerfile []byte) []pin {
	type stage struct {
		platform, base string
		line           int
	}
	stages := map[string]stage{}
	var last stage
	lines := bufio.NewScanner(bytes.NewReader(dockerfile))
	for n := 1; lines.Scan(); n++ {
		m := fromLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		last = stage{platform: strings.Trim(m[1], `"'`), base: strings.ToLower(m[2]), line: n}
		if m[3] != "" {
			stages[strings.ToLower(m[3])] = last
		}
	}
	var pins []pin
	for range len(stages) + 1 { // FROM may name a stage of its own name before it
		platform := last.platform
		if arch, _, ok := strings.Cut(last.base, "/"); ok && platform == "" && (arch == "amd64" || arch == "arm64v8") {
			platform = "linux/" + strings.TrimSuffix(arch, "v8")
		}
		if platform != "" && !strings.Contains(platform, "$") {
			pins = append(pins, pin{platform, last.line})
		}
		next, ok := stages[last.base]
		if !ok || next.line >= last.line {
			break
		}
		last = next
	}
	return pins
}

const cdkContextFile = "cdk.context.json"

// mostDepth is how far below the root a CDK app is looked for.
const mostDepth = 4

// cdkContext looks at what each CDK app of the repository has looked up: a
// synth in a job has no credentials to look anything up with.
func cdkContext(ctx context.Context, x *examination) (string, error) {
	if x.Tree == nil {
		return "", skipped("no work tree")
	}
	apps, err := cdkApps(ctx, x.Tree)
	if err != nil {
		return "", err
	}
	if len(apps) == 0 {
		return "no CDK app", nil
	}
	for _, dir := range apps {
		if err := x.cdkApp(ctx, dir); err != nil {
			return "", err
		}
	}
	return strings.Join(apps, ", "), nil
}

func cdkApps(ctx context.Context, tree fs.FS) ([]string, error) {
	var apps []string
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && name == ".":
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "cdk.out" || strings.Count(name, "/") >= mostDepth):
			return fs.SkipDir
		case !d.IsDir() && d.Name() == "cdk.json":
			apps = append(apps, path.Dir(name))
		}
		return nil // what can't be read is no app
	})
	return apps, err
}

func (x *examination) cdkApp(ctx context.Context, dir string) error {
	file := path.Join(dir, cdkContextFile)
	text, err := fs.ReadFile(x.Tree, file)
	if err != nil {
		x.finding("doctor/cdk-context-missing", "the CDK app in "+dir+" has no "+cdkContextFile+": its synth asks AWS, and fails in a job without credentials",
			"run npx cdk synth in "+dir+" once with credentials, and commit "+file).in(file)
		return nil //nolint:nilerr // it is the finding
	}
	if x.Git != nil {
		if err := x.committed(ctx, file); err != nil {
			return err
		}
	}
	var looked map[string]json.RawMessage
	if err := json.Unmarshal(text, &looked); err != nil {
		x.finding("doctor/cdk-context-broken", file+" is no JSON object: "+err.Error(), "git checkout -- "+file+", or run npx cdk synth anew").in(file)
		return nil //nolint:nilerr // it is the finding
	}
	x.cdkLookups(file, looked)
	return nil
}

func (x *examination) committed(ctx context.Context, file string) error {
	tracked, err := x.Git.Tracked(ctx, file)
	if err != nil || tracked {
		return err
	}
	ignored, err := x.Git.Ignored(ctx, file)
	if err != nil {
		return err
	}
	message, hint := file+" is not committed", "git add "+file+" && git commit"
	if ignored {
		message, hint = file+" is ignored by git", "take it out of .gitignore, then git add "+file+" && git commit"
	}
	x.finding("doctor/cdk-context-untracked", message, hint).in(file)
	return nil
}

// cdkLookups compares whose VPCs the file knows with the environment's account
// and region. A file without any says nothing: the app may look up none.
func (x *examination) cdkLookups(file string, looked map[string]json.RawMessage) {
	want := "account=" + x.Target.Account + ":"
	region := ":region=" + x.Target.Region + ":"
	stale := ""
	for key := range looked {
		if !strings.HasPrefix(key, "vpc-provider:") {
			continue
		}
		if strings.Contains(key, want) && strings.Contains(key+":", region) {
			return
		}
		if stale == "" || key < stale {
			stale = key
		}
	}
	if stale == "" {
		return
	}
	wanted := "vpc-provider:account=" + x.Target.Account + ":filter.…:region=" + x.Target.Region + ":…"
	x.finding("doctor/cdk-context-key", fmt.Sprintf("%s has no key %s; it has %s", file, wanted, stale),
		"npx cdk synth with credentials of "+x.Target.Account+" adds that key alone; a stale one is dropped by npx cdk context --reset '"+stale+"', never --clear, which drops all").in(file)
}
