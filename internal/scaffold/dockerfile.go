package scaffold

import (
	"path"
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/pattern"
)

// dockerfiles makes agents of the Dockerfiles that no file of another tool
// speaks for.
func (l *looker) dockerfiles() {
	named := len(l.Agents) > 0
	for _, file := range l.images {
		if slices.ContainsFunc(l.Agents, func(a Agent) bool { return path.Join(a.Path, a.Dockerfile) == file }) {
			continue
		}
		if named {
			l.note("%s is left out: agentcore.json does not name it", show(file))
			continue
		}
		d, ok := l.dockerfile(file)
		if !ok {
			continue
		}
		a := Agent{Path: path.Dir(file), Engine: config.EngineDocker, Dockerfile: path.Base(file), file: file}
		if l.needsRoot(a.Path, d.sources) {
			a.Path, a.Dockerfile = ".", file
		}
		a.Name = name(path.Dir(file), l.project)
		l.starter(&a)
		l.add(a, "%s%s", show(file), d.facts())
	}
}

// dockerfile reads a Dockerfile; false after noting why it is none.
func (l *looker) dockerfile(file string) (image, bool) {
	text := l.read(file)
	if text == "" {
		return image{}, false
	}
	d := parseDockerfile(text)
	if d.base == "" {
		l.note("%s is left out: it has no FROM", show(file))
		return image{}, false
	}
	if d.platform == "linux/amd64" {
		l.note("%s says FROM --platform=linux/amd64: AgentCore's microVMs run linux/arm64 alone; drop the flag", show(file))
	}
	if len(d.ports) > 0 && !slices.ContainsFunc(d.ports, contractPort) {
		l.note("%s exposes %s: AgentCore calls an agent on 8080 (MCP 8000, A2A 9000)", show(file), strings.Join(d.ports, ", "))
	}
	return d, true
}

func contractPort(port string) bool { return port == "8080" || port == "8000" || port == "9000" }

// needsRoot says whether the files that a Dockerfile copies are in the root
// and not beside it: it is meant to be built from there.
func (l *looker) needsRoot(dir string, sources []string) bool {
	if dir == "." {
		return false
	}
	missing := false
	for _, s := range sources {
		if !l.exists(s) {
			return false
		}
		missing = missing || !l.exists(path.Join(dir, s))
	}
	return missing
}

// starter knows the layout of the starter repository that the post's series
// builds: infra/ beside apps/<name>/<name>/main.py, and its own names.
func (l *looker) starter(a *Agent) {
	base := path.Base(a.Path)
	if path.Dir(a.Path) != "apps" || !l.exists("infra/lib/agentcore-stack.ts") ||
		!l.exists(path.Join(a.Path, strings.ReplaceAll(base, "-", "_"), "main.py")) {
		return
	}
	parts := strings.Split(base, "-")
	for i, p := range parts[1:] {
		if p != "" {
			parts[i+1] = strings.ToUpper(p[:1]) + p[1:]
		}
	}
	camel := strings.Join(parts, "")
	if config.CheckValue(config.ValueName, camel) == nil {
		a.Name, a.Named, a.Repository = camel, true, strings.ToLower(camel)+"/runtime-{environment}"
	}
}

// image is what a Dockerfile says of its last stage.
type image struct {
	base     string
	platform string
	ports    []string // digits
	user     string
	sources  []string // what all stages copy from the context, where it is plain
}

// facts are what a person wants to see of it.
func (d image) facts() string {
	var facts []string
	if len(d.ports) > 0 {
		facts = append(facts, "EXPOSE "+strings.Join(d.ports, " "))
	}
	if d.user != "" {
		facts = append(facts, "USER "+d.user)
	}
	if len(facts) == 0 {
		return ""
	}
	return " (" + strings.Join(facts, ", ") + ")"
}

var (
	portPattern = pattern.New(`^[0-9]{1,5}(/tcp)?$`)
	userPattern = pattern.New(`^[A-Za-z0-9_.:-]{1,64}$`)
	pathPattern = pattern.New(`^[A-Za-z0-9_][A-Za-z0-9_./-]*$`)
)

const mostPorts = 8

func parseDockerfile(text string) image {
	var d image
	for line := range instructions(text) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		args := words[1:]
		switch strings.ToUpper(words[0]) {
		case "FROM":
			d.from(args)
		case "EXPOSE":
			for _, p := range args {
				if portPattern.MatchString(p) && len(d.ports) < mostPorts {
					d.ports = append(d.ports, strings.TrimSuffix(p, "/tcp"))
				}
			}
		case "USER":
			if d.user = ""; userPattern.MatchString(args[0]) {
				d.user = args[0]
			}
		case "COPY", "ADD":
			d.copy(args)
		}
	}
	return d
}

// from begins a stage: what the one before said does not count.
func (d *image) from(args []string) {
	*d = image{sources: d.sources}
	for len(args) > 0 && strings.HasPrefix(args[0], "--") {
		if platform, ok := strings.CutPrefix(args[0], "--platform="); ok {
			d.platform = platform
		}
		args = args[1:]
	}
	if len(args) > 0 {
		d.base = args[0]
	}
}

// copy keeps the plain sources of COPY and ADD.
func (d *image) copy(args []string) {
	for len(args) > 0 && strings.HasPrefix(args[0], "--") {
		if strings.HasPrefix(args[0], "--from") {
			return // out of another image
		}
		args = args[1:]
	}
	for _, source := range args[:max(0, len(args)-1)] {
		source = strings.TrimPrefix(source, "./")
		if pathPattern.MatchString(source) && !strings.Contains(source, "..") && len(d.sources) < 100 {
			d.sources = append(d.sources, path.Clean(source))
		}
	}
}

// instructions yields the instructions of a Dockerfile, comments aside and
// continued lines joined. What stands in a heredoc looks like instructions
// too; none of those that count here begin a line of a script.
func instructions(text string) func(func(string) bool) {
	return func(yield func(string) bool) {
		joined := ""
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "#") {
				continue
			}
			part, continued := strings.CutSuffix(line, `\`)
			joined += part + " "
			if continued {
				continue
			}
			if !yield(joined) {
				return
			}
			joined = ""
		}
		yield(joined)
	}
}
