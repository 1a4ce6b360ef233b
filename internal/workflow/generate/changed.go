package generate

import (
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/config"
)

// Changed are the agents that changes of files are about, in the order of the
// file: those whose path holds one, and all of them where it is about how
// agents are delivered; that file is returned then. It is the workflow's path
// filter, agent by agent.
func Changed(f *config.File, files []string) (agents []string, because string) {
	every := func(name string) bool {
		return name == config.FileName || name == Deploy || below(strings.TrimSuffix(Setup, "/action.yml"), name)
	}
	if i := slices.IndexFunc(files, every); i >= 0 {
		because = files[i]
	}
	for _, a := range f.Agents() {
		if because != "" || slices.ContainsFunc(files, func(name string) bool { return below(a.Build.Path, name) }) {
			agents = append(agents, a.Name)
		}
	}
	return agents, because
}

func below(dir, name string) bool { return dir == "." || strings.HasPrefix(name, dir+"/") }
