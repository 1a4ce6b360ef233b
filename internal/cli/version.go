package cli

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

type versionDocument struct {
	Schema  string `json:"schema"` // slipway.version/v1
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Date    string `json:"date,omitempty"` // of the commit, RFC 3339
	Go      string `json:"go"`
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "The version, commit and Go of this program", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := version()
			if a.json() {
				return a.ui.document(v)
			}
			a.ui.result("%s", v)
			return nil
		},
	}
}

func (v versionDocument) String() string {
	line := "slipway " + v.Version
	if v.Commit != "" {
		line += fmt.Sprintf(" (%s, %s)", shortRevision(v.Commit), v.Date)
	}
	return line + " " + v.Go
}

// version reads what the Go toolchain built into the program.
func version() versionDocument {
	v := versionDocument{Schema: "slipway.version/v1", Version: "dev"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Go = info.GoVersion
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.time":
			v.Date = s.Value
		}
	}
	return v
}
