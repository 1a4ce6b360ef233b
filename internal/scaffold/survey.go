package scaffold

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxFile    = 1 << 20 // bytes of a file that is read
	maxEntries = 50000   // files and directories that are looked at
	maxDepth   = 8       // directories below the root
)

// Survey is what a repository shows.
type Survey struct {
	// Agents are what may be delivered, sorted by name. Where Certain is
	// false, which of several are agents is for somebody to say.
	Agents  []Agent
	Certain bool
	// Targets are the accounts and regions that the repository's files name.
	Targets []Target
	// Found and Notes say, a line each, what was taken over from where, and
	// what was seen and left out, and why. They quote what others wrote.
	Found []string
	Notes []string
}

// Agent is a program that may be an agent, and how its image is made.
type Agent struct {
	Name       string // fit for slipway.yaml
	Named      bool   // a file says the name; else it is the directory's
	Path       string // the build context, from the root
	Engine     string // config.EngineDocker or config.EngineGo
	Dockerfile string // from Path
	Package    string // of a Go program, from Path
	Args       map[string]string
	Repository string // in ECR; may hold {environment}
	file       string // where it was found
}

// Target is an account and a region, either of which may be "".
type Target struct {
	Name     string // "" where the file names none
	Account  string
	Region   string
	Runtimes map[string]string // ids of deployed runtimes by agent
}

// Look reads what a repository shows. project is the repository's own name,
// for an agent in its root. It returns an error only where the root can't be
// read.
func Look(fsys fs.FS, project string) (*Survey, error) {
	l := &looker{fsys: fsys, project: project, Survey: &Survey{}}
	if err := l.walk(); err != nil {
		return nil, err
	}
	for _, file := range l.projects {
		l.agentcore(file)
	}
	l.Certain = len(l.Agents) > 0
	l.dockerfiles()
	l.programs()
	l.Certain = l.Certain || len(l.Agents) == 1
	if len(l.Targets) == 0 {
		l.lookups()
	}
	slices.SortFunc(l.Agents, func(a, b Agent) int { return cmp.Compare(a.Name, b.Name) })
	return l.Survey, nil
}

// looker gathers a survey.
type looker struct {
	*Survey
	fsys    fs.FS
	project string

	images   []string // Dockerfiles
	modules  []string // go.mod files
	projects []string // agentcore.json files
	contexts []string // cdk.context.json files
}

func (l *looker) found(format string, args ...any) {
	l.Found = append(l.Found, fmt.Sprintf(format, args...))
}

func (l *looker) note(format string, args ...any) {
	l.Notes = append(l.Notes, fmt.Sprintf(format, args...))
}

// skipped are directories that hold what others wrote, or what was built.
func skipped(name string) bool {
	switch name {
	case "node_modules", "vendor", "testdata", "cdk.out", "dist", "venv", "site-packages", "__pycache__", "target":
		return true
	}
	return strings.HasPrefix(name, ".") && name != "."
}

// walk finds the files that say something, in lexical order.
func (l *looker) walk() error {
	entries := 0
	err := fs.WalkDir(l.fsys, ".", func(name string, d fs.DirEntry, err error) error {
		entries++
		switch {
		case err != nil && name == ".":
			return err
		case err != nil:
			l.note("%s can't be read: %v", show(name), reason(err))
			return nil
		case entries > maxEntries:
			l.note("the repository has more than %d files: the rest was not looked at", maxEntries)
			return fs.SkipAll
		case d.IsDir() && (skipped(d.Name()) || strings.Count(name, "/") >= maxDepth || l.foreign(name)):
			return fs.SkipDir
		case !d.IsDir():
			l.sort(name)
		}
		return nil
	})
	return err
}

// foreign says whether a directory is another repository's checkout.
func (l *looker) foreign(dir string) bool {
	if dir == "." {
		return false
	}
	_, err := fs.Stat(l.fsys, path.Join(dir, ".git"))
	return err == nil
}

func (l *looker) sort(name string) {
	switch path.Base(name) {
	case "Dockerfile", "Containerfile":
		l.images = append(l.images, name)
	case "go.mod":
		l.modules = append(l.modules, name)
	case "cdk.context.json":
		l.contexts = append(l.contexts, name)
	case "agentcore.json":
		if path.Base(path.Dir(name)) == "agentcore" {
			l.projects = append(l.projects, name)
		}
	}
}

// read returns the text of a file, or "" after noting why it can't be used.
func (l *looker) read(name string) string {
	data, err := read(l.fsys, name)
	if err != nil {
		l.note("%s: %v", show(name), reason(err))
	}
	return data
}

func read(fsys fs.FS, name string) (string, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", errors.New("not a regular file") // opening a pipe would wait
	}
	file, err := fsys.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // only read
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	switch {
	case err != nil:
		return "", err
	case len(data) > maxFile:
		return "", fmt.Errorf("larger than %d KiB, not read", maxFile>>10)
	case bytes.IndexByte(data, 0) >= 0 || !utf8.Valid(data):
		return "", errors.New("not a text in UTF-8")
	}
	return strings.TrimPrefix(string(data), "\ufeff"), nil
}

func (l *looker) exists(name string) bool {
	_, err := fs.Stat(l.fsys, name)
	return err == nil
}

// reason is an error without the path that its caller tells already.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// show makes a name fit for a line: quoted where it is odd, and short.
func show(name string) string {
	const limit = 200
	if len(name) > limit {
		name = strings.ToValidUTF8(name[:limit], "") + "…"
	}
	if quoted := strconv.Quote(name); quoted != `"`+name+`"` || strings.TrimSpace(name) != name {
		return quoted
	}
	return name
}
