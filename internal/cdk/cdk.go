package cdk

import (
	"bytes"
	"context"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// ContextFile holds what an app has looked up (AWS CDK developer guide: Context
// values and the AWS CDK).
const ContextFile = "cdk.context.json"

// mostDepth is how far below the root an app is looked for.
const mostDepth = 4

// Apps lists the folders of the CDK apps in a tree: where a cdk.json is.
func Apps(ctx context.Context, tree fs.FS) ([]string, error) {
	var apps []string
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && name == ".":
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case d.IsDir() && name != "." && (foreign(d.Name()) || strings.Count(name, "/") >= mostDepth):
			return fs.SkipDir
		case !d.IsDir() && d.Name() == "cdk.json":
			apps = append(apps, path.Dir(name))
		}
		return nil // what can't be read is no app
	})
	return apps, err
}

// foreign folders hold nothing of the app's own.
func foreign(name string) bool {
	return strings.HasPrefix(name, ".") || name == "node_modules" || name == "cdk.out"
}

// Installed says whether the app's npm dependencies are there, its own or
// those of a workspace above it.
func Installed(tree fs.FS, dir string) bool {
	return above(tree, dir, "node_modules/aws-cdk/package.json") != ""
}

// Lock finds the package-lock.json that npm ci needs, "" where there is none.
// NPM says whether the app is of npm at all.
func Lock(tree fs.FS, dir string) (lock string, npm bool) {
	if _, err := fs.Stat(tree, path.Join(dir, "package.json")); err != nil {
		return "", false
	}
	if lock = above(tree, dir, "package-lock.json"); lock == "" {
		lock = above(tree, dir, "npm-shrinkwrap.json")
	}
	return lock, true
}

// above finds a file in a folder or in those above it.
func above(tree fs.FS, dir, name string) string {
	for {
		file := path.Join(dir, name)
		if _, err := fs.Stat(tree, file); err == nil {
			return file
		}
		if dir == "." {
			return ""
		}
		dir = path.Dir(dir)
	}
}

// mostSource bounds what is read of one source file.
const mostSource = 1 << 20

// Sources says what the sources of an app speak of: AgentCore runtimes, and
// the parameter that a delivery records the image in.
type Sources struct{ Runtime, Image bool }

// ReadSources looks through the sources of an app, in CDK's languages.
func ReadSources(ctx context.Context, tree fs.FS, dir string) (Sources, error) {
	var s Sources
	err := fs.WalkDir(tree, dir, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && name == dir:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return nil //nolint:nilerr // what can't be read is no source
		case d.IsDir() && name != dir && foreign(d.Name()):
			return fs.SkipDir
		case d.IsDir() || !slices.Contains([]string{".ts", ".js", ".mjs", ".py", ".go", ".java", ".cs"}, path.Ext(name)):
			return nil
		}
		if info, err := d.Info(); err != nil || info.Size() > mostSource {
			return nil //nolint:nilerr // nobody writes sources like that
		}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return nil //nolint:nilerr // as above
		}
		s.Image = s.Image || bytes.Contains(text, []byte("image-uri"))
		s.Runtime = s.Runtime || bytes.Contains(bytes.ToLower(text), []byte("bedrockagentcore")) || bytes.Contains(bytes.ToLower(text), []byte("bedrock-agentcore"))
		return nil
	})
	return s, err
}
