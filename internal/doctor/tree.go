package doctor

import (
	"bufio"
	"bytes"
	"context"
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
