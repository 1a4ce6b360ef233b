package scaffold

import (
	"fmt"
	"path"
	"strings"

	"github.com/slipway-cd/slipway/internal/config"
)

// maxName leaves room for an environment in the name of a runtime, which has
// 48 characters at most.
const maxName = 40

// name makes an agent's name of a directory's, or of the project's for the
// root; "agent" where nothing of it can be one.
func name(dir, project string) string {
	base := path.Base(dir)
	if dir == "." {
		base = project
	}
	base = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, base)
	base = strings.TrimLeft(base, "-_0123456789")
	base = strings.TrimRight(base[:min(len(base), maxName)], "-_")
	if config.CheckValue(config.ValueAgent, base) != nil {
		return "agent"
	}
	return base
}

// add takes an agent into the survey, under a name and in an ECR repository
// of its own.
func (l *looker) add(a Agent, found string, args ...any) {
	for _, p := range []string{a.Path, a.Dockerfile} {
		if p != "" && config.CheckValue(config.ValuePath, p) != nil {
			l.note("%s is left out: slipway.yaml can't name its path", show(a.file))
			return
		}
	}
	for base, n := a.Name, 2; l.taken(a.Name); n++ {
		a.Name = fmt.Sprintf("%s-%d", base, n)
	}
	if a.Repository == "" {
		a.Repository = repository(a.Name)
	}
	l.Agents = append(l.Agents, a)
	l.found(found, args...)
}

func (l *looker) taken(name string) bool {
	for _, a := range l.Agents {
		if strings.EqualFold(strings.ReplaceAll(a.Name, "-", "_"), strings.ReplaceAll(name, "-", "_")) {
			return true // runtimes have _ for -
		}
	}
	return false
}

// repository proposes an agent's ECR repository. Parts of its name can't
// begin or end with a sign, nor have two of them in a row but for - and __.
func repository(agent string) string {
	parts := strings.FieldsFunc(strings.ToLower(agent), func(r rune) bool { return r == '-' || r == '_' })
	return strings.Join(parts, "-") + "/runtime"
}

// Rename gives an agent another name, and the ECR repository of that name.
func (a *Agent) Rename(name string) {
	if a.Repository == repository(a.Name) {
		a.Repository = repository(name)
	}
	a.Name, a.Named = name, true
}
