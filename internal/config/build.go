package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// The build engines.
const (
	EngineDocker   = "docker"
	EngineBuildKit = "buildkit"
	EngineGo       = "go"
)

// Build says how an agent's image is made.
type Build struct {
	Path       string            // the build context, relative to the file, with slashes
	Engine     string            // EngineDocker, EngineBuildKit or EngineGo
	Dockerfile string            // relative to Path
	Platform   string            // linux/arm64 or linux/amd64
	Package    string            // main package for EngineGo, relative to Path
	Args       map[string]string // build arguments
	Target     string            // stage of the Dockerfile; "" for the last
	Secrets    []Secret          // sorted by ID
	CacheFrom  []string          // in BuildKit's words
	CacheTo    []string          // the same
	Address    string            // of EngineBuildKit's daemon; "" for BUILDKIT_HOST
	TLS        string            // directory of certificates for Address, as the file writes it; "" for none
}

// Secret says where a build's secret comes from: a variable or a file.
type Secret struct {
	ID   string
	Env  string // the variable's name
	File string // the path, as the file writes it
}

func (r *reader) build(v value, b *Build) {
	r.object(v, fields{
		"engine":     func(v value) { b.Engine = r.choice(v, EngineDocker, EngineBuildKit, EngineGo) },
		"dockerfile": func(v value) { b.Dockerfile = r.localPath(v) },
		"platform":   func(v value) { b.Platform = r.choice(v, "linux/arm64", "linux/amd64") },
		"package":    func(v value) { b.Package = r.text(v, packageRule) },
		"args":       func(v value) { b.Args = r.buildArgs(v) },
		"target":     func(v value) { b.Target = r.text(v, stageRule) },
		"secrets":    func(v value) { b.Secrets = r.secrets(v) },
		"cache_from": func(v value) { b.CacheFrom = r.caches(v) },
		"cache_to":   func(v value) { b.CacheTo = r.caches(v) },
		"address":    func(v value) { b.Address = r.text(v, addressRule) },
		"tls":        func(v value) { b.TLS = r.anyPath(v) },
	})
}

// buildArgs reads build arguments. They stay in the image, so what is a
// credential by its name is refused as what looks like one is (C09).
func (r *reader) buildArgs(v value) map[string]string {
	args := map[string]string{}
	for _, arg := range r.entries(v) {
		r.variableName(arg)
		text, ok := r.scalar(arg)
		if ok && text != "" && isCredentialName(arg.key.Value) {
			r.problem(arg, "a build that reads AWS needs a role of its own",
				"an AWS credential can't be a build argument: it would stay in the image")
		}
		args[arg.key.Value] = text
	}
	return args
}

// secretLimit is how many secrets a build may have.
const secretLimit = 50

func (r *reader) secrets(v value) []Secret {
	var secrets []Secret
	for _, entry := range r.entries(v) {
		s := Secret{ID: entry.key.Value}
		if !secretRule.ok(s.ID) {
			r.report(entry.key.Line, entry.key.Column, entry.path, "", "must be "+secretRule.want)
			continue
		}
		if isNull(entry.node) {
			r.problem(entry, "write {env: VARIABLE} or {file: PATH}", "has no value")
			continue
		}
		r.object(entry, fields{
			"env":  func(v value) { s.Env = r.secretVariable(v) },
			"file": func(v value) { s.File = r.anyPath(v) },
		})
		if entry.node.Kind == yaml.MappingNode && len(entry.node.Content) != 2 {
			r.problem(entry, "write {env: VARIABLE} or {file: PATH}", "must have one of env and file")
		}
		secrets = append(secrets, s)
	}
	if len(secrets) > secretLimit {
		r.problem(v, "", "must hold at most %d secrets, not %d", secretLimit, len(secrets))
	}
	slices.SortFunc(secrets, func(a, b Secret) int { return strings.Compare(a.ID, b.ID) })
	return secrets
}

// secretVariable reads the name of a variable. What a delivery is authorised
// with is for no build: whoever may change a Dockerfile could take it.
func (r *reader) secretVariable(v value) string {
	name := r.text(v, envRule)
	upper := strings.ToUpper(name)
	if isCredentialName(name) || strings.HasPrefix(upper, "ACTIONS_") || strings.HasPrefix(upper, "SLIPWAY_") {
		r.problem(v, "a build that reads AWS needs a role of its own",
			"%s is what a delivery is authorised with; no build gets it", name)
		return ""
	}
	return name
}

// cacheLimit is how many caches a build may read or write.
const cacheLimit = 20

// caches reads a list of caches. Their credentials would stand in a child's
// arguments, where every process of the machine sees them.
func (r *reader) caches(v value) []string {
	var caches []string
	for i, cache := range r.texts(v, cacheLimit, cacheRule) {
		item := value{node: v.node.Content[i], path: indexPath(v.path, i)}
		for attribute := range strings.SplitSeq(cache, ",") {
			name, _, _ := strings.Cut(attribute, "=")
			switch name = strings.TrimSpace(strings.ToLower(name)); name {
			case "access_key_id", "secret_access_key", "session_token", "token", "ghtoken", "account_key":
				r.problem(item, "log the daemon in instead: docker login, or credentials of its own",
					"%s is a credential, and can't stand here", name)
			}
		}
		if strings.Contains(cache, "type=gha") {
			r.problem(item, "use type=registry", "type=gha needs the job's own token, which no build gets")
		}
		caches = append(caches, cache)
	}
	return caches
}

// anyPath reads a path that may be anywhere: absolute, in the home directory
// (~/) or relative to the file.
func (r *reader) anyPath(v value) string {
	text, ok := r.str(v)
	if !ok {
		return ""
	}
	if text == "" || len(text) > 1024 || strings.ContainsAny(text, "\x00\n\r") {
		r.problem(v, "", "must be a path")
		return ""
	}
	return text
}

// checkEngines reports settings that an agent's engine does not have, where
// that would matter: a secret that no step gets, a daemon that is not asked.
func (r *reader) checkEngines(f *File) {
	both := []string{EngineDocker, EngineBuildKit}
	owners := map[string][]string{"target": both, "secrets": both, "cache_from": both, "cache_to": both,
		"address": {EngineBuildKit}, "tls": {EngineBuildKit}}
	for _, a := range f.agents {
		for _, key := range slices.Sorted(maps.Keys(owners)) {
			path := agentPath(a.Name, "build."+key)
			if _, stated := r.keys[path]; stated && a.Build.Engine != "" && !slices.Contains(owners[key], a.Build.Engine) {
				r.problemAtKey(path, "remove it, or change the engine", "is for %s alone; this agent's engine is %s",
					join(owners[key], "and"), a.Build.Engine)
			}
		}
		if a.Build.TLS != "" && a.Build.Engine == EngineBuildKit && !strings.HasPrefix(a.Build.Address, "tcp://") {
			r.problemAt(agentPath(a.Name, "build.tls"), "", "is for an address that begins with tcp://")
		}
	}
}

// BuildSecrets returns where an agent's secrets are, with absolute paths,
// after a look whether they are there. It returns a *delivery.Error of
// KindConfig, round Problems, for those that are not. getenv is the caller's
// environment.
func (f *File) BuildSecrets(agent string, getenv func(string) string) ([]Secret, error) {
	a, err := f.Agent(agent)
	if err != nil {
		return nil, err
	}
	var secrets []Secret
	var problems Problems
	for _, s := range a.Build.Secrets {
		key := "env"
		if s.Env == "" {
			key, s.File = "file", f.PathTo(s.File, getenv)
		}
		if message := s.missing(getenv); message != "" {
			path := keyPath(agentPath(a.Name, "build.secrets"), s.ID) + "." + key
			place := f.places[path]
			problems = append(problems, Problem{File: f.Name, Line: place.line, Column: place.column,
				Path: path, Message: message})
		}
		secrets = append(secrets, s)
	}
	if len(problems) > 0 {
		return nil, &delivery.Error{Kind: delivery.KindConfig, Err: problems.sorted()}
	}
	return secrets, nil
}

// missing says why a secret can't be had, "" if it can.
func (s Secret) missing(getenv func(string) string) string {
	if s.Env != "" {
		if getenv(s.Env) == "" {
			return fmt.Sprintf("the variable %s is not set", s.Env)
		}
		return ""
	}
	info, err := os.Stat(s.File)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a file")
	}
	if err != nil {
		return fmt.Sprintf("the secret can't be read: %v", err)
	}
	return ""
}

// PathTo makes a path of the file absolute. It returns "" for "".
func (f *File) PathTo(path string, getenv func(string) string) string {
	if path == "" {
		return ""
	}
	if rest, home := strings.CutPrefix(path, "~/"); home {
		return filepath.Join(getenv("HOME"), filepath.FromSlash(rest))
	}
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(f.Dir, filepath.FromSlash(path))
}
