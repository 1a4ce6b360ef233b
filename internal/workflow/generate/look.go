package generate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/pattern"
)

// survey is what the repository shows of how it is checked.
type survey struct {
	agents map[string]sources // by name
	apps   []app              // of CDK, sorted by directory
}

// sources are the languages that an agent's directory has.
type sources struct {
	python *python
	node   *node
	module string // the go.mod that governs the directory, from the root; "" for none
}

// python is a Python program: what it runs on, and what its tests need.
type python struct {
	version      string // 3.13, or "" where versionFile says it
	versionFile  string // from the root
	requirements []string
	installable  bool // pip can install the directory
	tests        bool
}

// node is a package of npm's.
type node struct {
	versionFile string // from the root; "" for none
	locked      bool   // it has the lock file that npm ci wants
	scripts     map[string]string
}

// app is a CDK app in a package of npm's.
type app struct {
	dir string
	node
}

const (
	maxFile    = 1 << 20 // bytes of a file that is read
	maxEntries = 50000   // files and directories that are looked at
	maxDepth   = 8       // directories below the root
)

// looker gathers a survey. It follows no links, and takes what it can't read
// for absent.
type looker struct {
	fsys  fs.FS
	seen  survey
	notes []string
}

// look reads what a repository shows; nil shows nothing.
func look(fsys fs.FS, f *config.File) *looker {
	l := &looker{fsys: fsys, seen: survey{agents: map[string]sources{}}}
	if fsys == nil {
		return l
	}
	for _, a := range f.Agents() {
		l.seen.agents[a.Name] = sources{python: l.python(a.Build), node: l.packageIn(a.Build.Path), module: l.module(a.Build)}
	}
	l.walk(".", func(name string) {
		if path.Base(name) == "cdk.json" {
			l.app(path.Dir(name))
		}
	})
	return l
}

func (l *looker) note(format string, args ...any) {
	l.notes = append(l.notes, fmt.Sprintf(format, args...))
}

// app adds the CDK app of a directory, if npm runs it.
func (l *looker) app(dir string) {
	n := l.packageIn(dir)
	if n == nil {
		l.note("%s has a cdk.json and no package.json: it is not checked", dir)
		return
	}
	l.seen.apps = append(l.seen.apps, app{dir, *n})
}

// packageIn reads the package.json of a directory, nil where there is none.
func (l *looker) packageIn(dir string) *node {
	text := l.read(path.Join(dir, "package.json"))
	if text == "" {
		return nil
	}
	var manifest struct {
		Scripts map[string]string `json:"scripts"`
		Engines map[string]string `json:"engines"`
	}
	if err := json.Unmarshal([]byte(text), &manifest); err != nil {
		l.note("%s is no package that npm would take: %v", path.Join(dir, "package.json"), err)
		return nil
	}
	n := &node{scripts: manifest.Scripts, locked: l.exists(path.Join(dir, "package-lock.json"))}
	if !n.locked {
		l.note("%s has no package-lock.json, without which npm ci fails: npm install makes one, and it belongs into git", dir)
	}
	for _, name := range []string{".nvmrc", ".node-version"} {
		if n.versionFile == "" && l.exists(path.Join(dir, name)) {
			n.versionFile = path.Join(dir, name)
		}
	}
	if n.versionFile == "" && manifest.Engines["node"] != "" {
		n.versionFile = path.Join(dir, "package.json")
	}
	return n
}

// defaultTest is what npm init writes: it fails, and tests nothing.
const defaultTest = "no test specified"

func (n node) has(script string) bool {
	text := n.scripts[script]
	return text != "" && !strings.Contains(text, defaultTest)
}

// pythonBase is a Dockerfile's Python, by Docker's official images.
var pythonBase = pattern.New(`(?mi)^FROM\s+(?:--platform=\S+\s+)?(?:\S+/)?python:(3\.[0-9]{1,2})(?:[.-]|\s|$)`)

// requiresPython is the member of a pyproject.toml that setup-python reads.
var (
	requiresPython = pattern.New(`(?m)^\s*requires-python\s*=`)
	buildSystem    = pattern.New(`(?m)^\s*\[(build-system|project)\]`)
)

// python reads what the directory of an agent has of Python, nil for nothing.
func (l *looker) python(b config.Build) *python {
	dir := b.Path
	project := l.read(path.Join(dir, "pyproject.toml"))
	p := &python{installable: buildSystem.MatchString(project)}
	for _, name := range []string{"requirements.txt", "requirements-dev.txt", "requirements-test.txt"} {
		if l.exists(path.Join(dir, name)) {
			p.requirements = append(p.requirements, name)
		}
	}
	if project == "" && len(p.requirements) == 0 {
		return nil
	}
	base := pythonBase.FindStringSubmatch(l.read(path.Join(dir, b.Dockerfile)))
	switch {
	case l.exists(path.Join(dir, ".python-version")):
		p.versionFile = path.Join(dir, ".python-version")
	case base != nil:
		p.version = base[1] // tested with what serves
	case requiresPython.MatchString(project):
		p.versionFile = path.Join(dir, "pyproject.toml")
	default:
		p.version = "3.13"
	}
	l.walk(dir, func(name string) {
		base := path.Base(name)
		p.tests = p.tests || strings.HasSuffix(base, ".py") && (strings.HasPrefix(base, "test_") || strings.HasSuffix(base, "_test.py"))
	})
	return p
}

// module is the go.mod that governs an agent's directory, its own or the
// nearest above; "" where there is nothing of Go in it.
func (l *looker) module(b config.Build) string {
	isGo := func(name string) bool { return strings.HasSuffix(name, ".go") || name == "go.mod" }
	if b.Engine != config.EngineGo && !slices.ContainsFunc(l.entries(b.Path), isGo) {
		return ""
	}
	for dir := b.Path; ; {
		if file := path.Join(dir, "go.mod"); l.exists(file) {
			return file
		}
		if dir == "." {
			return ""
		}
		dir = path.Dir(dir)
	}
}

func (l *looker) entries(dir string) []string {
	entries, err := fs.ReadDir(l.fsys, dir)
	if err != nil {
		return nil
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names
}

// skipped are directories that hold what others wrote, or what was built.
func skipped(name string) bool {
	switch name {
	case "node_modules", "vendor", "testdata", "cdk.out", "dist", "venv", "site-packages", "__pycache__":
		return true
	}
	return strings.HasPrefix(name, ".") && name != "."
}

// walk visits the files below a directory, in lexical order.
func (l *looker) walk(dir string, visit func(name string)) {
	entries := 0
	_ = fs.WalkDir(l.fsys, dir, func(name string, d fs.DirEntry, err error) error {
		entries++
		switch {
		case err != nil:
			return nil //nolint:nilerr // what can't be read is not there
		case entries > maxEntries:
			return fs.SkipAll
		case d.IsDir() && name != dir && (skipped(d.Name()) || strings.Count(name, "/") >= maxDepth):
			return fs.SkipDir
		case d.Type().IsRegular():
			visit(name)
		}
		return nil
	})
}

func (l *looker) exists(name string) bool {
	info, err := fs.Stat(l.fsys, name)
	return err == nil && info.Mode().IsRegular()
}

// read returns the text of a file, "" where it can't be had.
func (l *looker) read(name string) string {
	if !l.exists(name) {
		return ""
	}
	file, err := l.fsys.Open(name)
	if err != nil {
		return ""
	}
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err := errors.Join(err, file.Close()); err != nil || len(data) > maxFile {
		return ""
	}
	return strings.TrimPrefix(string(data), "\ufeff")
}

// Only is the part of a file system that a list of files makes, with the
// directories above them. What a listed link leads to is in it.
func Only(fsys fs.FS, files []string) fs.FS {
	p := part{fsys, map[string]bool{}, map[string]bool{".": true}}
	for _, name := range files {
		p.files[name] = true
		for dir := path.Dir(name); !p.dirs[dir] && fs.ValidPath(dir); dir = path.Dir(dir) {
			p.dirs[dir] = true
		}
	}
	return p
}

type part struct {
	whole       fs.FS
	files, dirs map[string]bool
}

func (p part) has(name string) bool {
	if p.files[name] || p.dirs[name] {
		return true
	}
	for dir := path.Dir(name); dir != "." && dir != "/"; dir = path.Dir(dir) {
		if p.files[dir] { // a link
			return true
		}
	}
	return false
}

// Open opens a file of the part.
func (p part) Open(name string) (fs.File, error) {
	if !p.has(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return p.whole.Open(name)
}

// ReadDir lists what a directory has of the part.
func (p part) ReadDir(name string) ([]fs.DirEntry, error) {
	if !p.has(name) {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	entries, err := fs.ReadDir(p.whole, name)
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return !p.has(path.Join(name, e.Name())) }), err
}
