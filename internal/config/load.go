package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// FileName is what the file is called.
const FileName = "slipway.yaml"

// Load reads the slipway.yaml at a path and checks that no path in it leaves
// its directory by a symbolic link. It returns a *delivery.Error of
// KindConfig, round Problems where the file has mistakes.
func Load(file string) (*File, error) {
	data, err := readFile(file)
	if err != nil {
		return nil, &delivery.Error{Kind: delivery.KindConfig, Op: "reading " + file, Err: err}
	}
	f, err := Parse(file, data)
	if err != nil {
		return nil, &delivery.Error{Kind: delivery.KindConfig, Err: err}
	}
	if f.Dir, err = filepath.Abs(filepath.Dir(file)); err != nil {
		return nil, &delivery.Error{Kind: delivery.KindConfig, Op: "reading " + file, Err: err}
	}
	problems, err := f.leaving(f.Dir)
	if err != nil {
		return nil, &delivery.Error{Kind: delivery.KindConfig, Op: "reading " + file, Err: err}
	}
	if len(problems) > 0 {
		return nil, &delivery.Error{Kind: delivery.KindConfig, Err: problems.sorted()}
	}
	return f, nil
}

// readFile reads a regular file, and no more of it than Parse needs to see
// that it is too large.
func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // only read
	return io.ReadAll(io.LimitReader(file, MaxSize+1))
}

// Find returns the path of the slipway.yaml of dir: the one there, or in the
// nearest directory above, up to the root of the repository. It returns a
// *delivery.Error of KindConfig where there is none.
func Find(dir string) (string, error) {
	start, err := filepath.Abs(dir)
	if err != nil {
		return "", &delivery.Error{Kind: delivery.KindConfig, Op: "looking for " + FileName, Err: err}
	}
	failure := &delivery.Error{Kind: delivery.KindConfig, Hints: []string{"slipway init writes one, slipway schema describes every key"}}
	for at := start; ; at = filepath.Dir(at) {
		file := filepath.Join(at, FileName)
		if exists(file) {
			return file, nil
		}
		if exists(filepath.Join(at, "slipway.yml")) {
			failure.Hints = []string{"rename " + filepath.Join(at, "slipway.yml") + " to " + FileName}
		}
		if exists(filepath.Join(at, ".git")) || at == filepath.Dir(at) {
			failure.Err = fmt.Errorf("there is no %s in %s or above it, up to %s", FileName, start, at)
			return "", failure
		}
	}
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// cleanPath is a relative path in its shortest form, with slashes.
func cleanPath(text string) string { return path.Clean(text) }

// leaving reports the paths that lead out of root through symbolic links.
// What does not exist leads nowhere; the build says so when it needs it.
func (f *File) leaving(root string) (Problems, error) {
	realRoot, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, err
	}
	var problems Problems
	for _, a := range f.agents {
		for key, local := range map[string]string{
			"path":             a.Build.Path,
			"build.dockerfile": path.Join(a.Build.Path, a.Build.Dockerfile),
		} {
			target, err := filepath.EvalSymlinks(filepath.Join(root, filepath.FromSlash(local)))
			if err != nil || inside(realRoot, target) {
				continue
			}
			place, stated := f.places[agentPath(a.Name, key)]
			if !stated {
				place = f.places["agents."+a.Name]
			}
			problems = append(problems, Problem{File: f.Name, Line: place.line, Column: place.column,
				Path: agentPath(a.Name, key), Message: "leads out of the repository by a symbolic link"})
		}
	}
	return problems, nil
}

// inside says whether a real path is root or below it.
func inside(root, target string) bool {
	rel, err := filepath.Rel(root, target)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}
