package scaffold

import (
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/config"
)

// programs makes agents of Go's main packages, in a repository that has no
// Dockerfile: the engine go needs none.
func (l *looker) programs() {
	if len(l.Agents) > 0 || len(l.images) > 0 {
		return
	}
	for _, mod := range l.modules {
		root := path.Dir(mod)
		for _, dir := range l.mains(root) {
			a := Agent{Name: name(dir, l.project), Path: root, Engine: config.EngineGo, Package: ".", file: path.Join(dir, "main.go")}
			if rel := strings.TrimPrefix(dir, root+"/"); dir != root {
				a.Package = "./" + rel
				if root == "." {
					a.Package = "./" + dir
				}
			}
			if config.CheckValue(config.ValuePackage, a.Package) != nil {
				l.note("Go program in %s is left out: slipway.yaml can't name its package", show(dir))
				continue
			}
			l.add(a, "Go program in %s", show(dir))
		}
	}
}

// mains lists the directories of a module that hold a main package.
func (l *looker) mains(root string) []string {
	var dirs []string
	_ = fs.WalkDir(l.fsys, root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fs.SkipDir // walk has told it
		case d.IsDir() && name != root && (skipped(d.Name()) || l.foreign(name) || slices.Contains(l.modules, path.Join(name, "go.mod"))):
			return fs.SkipDir
		case strings.Count(name, "/") > maxDepth:
			return fs.SkipDir
		case !d.IsDir() && strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") && l.main(name):
			if dir := path.Dir(name); !slices.Contains(dirs, dir) {
				dirs = append(dirs, dir)
			}
		}
		return nil
	})
	return dirs
}

// main says whether a file belongs to a main package that Linux builds.
func (l *looker) main(file string) bool {
	text, err := read(l.fsys, file)
	if err != nil {
		return false
	}
	f, err := parser.ParseFile(token.NewFileSet(), file, text, parser.PackageClauseOnly|parser.ParseComments)
	if err != nil || f.Name.Name != "main" {
		return false
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if expr, err := constraint.Parse(line); err == nil {
			return expr.Eval(func(tag string) bool {
				return tag == "linux" || tag == "unix" || tag == "arm64" || strings.HasPrefix(tag, "go1.")
			})
		}
		if strings.HasPrefix(line, "package ") {
			break
		}
	}
	return true
}
