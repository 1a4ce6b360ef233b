package generate

import (
	"errors"
	"fmt"
	"strings"
)

// platform is one that Slipway is installed on, and what runners call it.
type platform struct{ name, runner string }

// platforms are those that the action can install on: its script is bash.
func platforms() []platform {
	return []platform{{"linux/amd64", "Linux-X64"}, {"linux/arm64", "Linux-ARM64"}, {"darwin/amd64", "macOS-X64"}, {"darwin/arm64", "macOS-ARM64"}}
}

// pinned refuses a slipway.yaml that does not say which Slipway jobs install.
func (p *plan) pinned() error {
	const example = "tool: {version: 0.1.0, url: \"https://example.com/slipway_{version}_{os}_{arch}.tar.gz\", sha256: {linux/amd64: …, linux/arm64: …}}"
	t := p.file.Tool
	switch {
	case t.Version == "":
		return refused(errors.New("slipway.yaml does not pin the slipway that jobs install: tool is missing"), "write "+example)
	case t.URL == "":
		return refused(errors.New("slipway.yaml does not say where slipway is to be had: tool.url is missing"), "write "+example)
	case strings.HasSuffix(t.URL, ".zip"):
		return refused(errors.New("tool.url names a .zip, which jobs don't unpack"), "name a .tar.gz, or the program itself")
	case len(t.SHA256) > 1 && (!strings.Contains(t.URL, "{arch}") || p.systems() > 1 && !strings.Contains(t.URL, "{os}")):
		return refused(errors.New("tool.url is the same for every platform of tool.sha256"), "let it hold {os} and {arch}")
	}
	for _, r := range p.runners() {
		name := map[string]string{runner: "linux/amd64", armRunner: "linux/arm64"}[r]
		if t.SHA256[name] == "" {
			return refused(fmt.Errorf("tool.sha256 has no %s, and jobs run on %s", name, r),
				"write the SHA-256 of what "+p.toolURL(name)+" serves")
		}
	}
	return nil
}

// systems counts the operating systems of tool.sha256.
func (p *plan) systems() int {
	systems := map[string]bool{}
	for name := range p.file.Tool.SHA256 {
		system, _, _ := strings.Cut(name, "/")
		systems[system] = true
	}
	return len(systems)
}

// toolURL is where the Slipway of a platform is.
func (p *plan) toolURL(name string) string {
	system, arch, _ := strings.Cut(name, "/")
	return strings.NewReplacer("{version}", p.file.Tool.Version, "{os}", system, "{arch}", arch).Replace(p.file.Tool.URL)
}

// setup is the action that installs Slipway. What it downloads is checked
// before anything else is done with it, and so is what it has kept: a cache is
// no reason to trust. It uses no cache of GitHub's, which other jobs can write.
func (p *plan) setup() []byte {
	var env, cases strings.Builder
	for _, at := range platforms() {
		sum := p.file.Tool.SHA256[at.name]
		if sum == "" {
			continue
		}
		name := strings.ToUpper(strings.ReplaceAll(at.runner, "-", "_"))
		fmt.Fprintf(&env, "%s_URL: %s\n%s_SHA256: %s\n", name, p.quoted(p.toolURL(at.name)), name, p.quoted(sum))
		fmt.Fprintf(&cases, "%s) url=$%s_URL sum=$%s_SHA256 ;;\n", at.runner, name, name)
	}
	protocol := "https"
	if strings.HasPrefix(p.file.Tool.URL, "http:") {
		protocol = "http" // on loopback
	}
	unpack := `tar -xzf "$work/download" -C "$work/bin" slipway`
	if !strings.HasSuffix(p.file.Tool.URL, ".tar.gz") && !strings.HasSuffix(p.file.Tool.URL, ".tgz") {
		unpack = `mv "$work/download" "$work/bin/slipway"`
	}
	return []byte(fill(`
name: set up slipway
description: Installs the Slipway that slipway.yaml pins, once its SHA-256 has been checked
runs:
  using: composite
  steps:
    - name: install slipway
      shell: bash
      env:
        VERSION: <version>
<env>      run: |
        set -euo pipefail
        case "$RUNNER_OS-$RUNNER_ARCH" in
<cases>          *)
            echo "::error title=slipway::slipway.yaml pins no slipway for $RUNNER_OS-$RUNNER_ARCH: add it to tool.sha256" >&2
            exit 1
            ;;
        esac
        work=$(mktemp -d "$RUNNER_TEMP/slipway.XXXXXXXX")
        checked() {
          if command -v sha256sum >/dev/null; then
            actual=$(sha256sum <"$work/download")
          else
            actual=$(shasum -a 256 <"$work/download")
          fi
          actual=${actual%% *}
          [ "$actual" = "$sum" ]
        }
        # A runner that is used again keeps the download; it is checked each time.
        kept=${RUNNER_TOOL_CACHE:-$RUNNER_TEMP}/slipway/$sum
        cp "$kept" "$work/download" 2>/dev/null || : >"$work/download"
        if ! checked; then
          curl --fail --silent --show-error --location --proto '=<protocol>' --proto-redir '=<protocol>' \
            --retry 5 --retry-connrefused --connect-timeout 20 --max-time 300 --output "$work/download" "$url"
          if ! checked; then
            rm -rf "$work"
            echo "::error title=slipway::$url serves another file than slipway.yaml pins: its SHA-256 is $actual, not $sum" >&2
            exit 1
          fi
          if mkdir -p "${kept%/*}" 2>/dev/null && cp "$work/download" "$kept.$$" 2>/dev/null; then
            mv -f "$kept.$$" "$kept"
          fi
        fi
        mkdir "$work/bin"
        <unpack>
        chmod +x "$work/bin/slipway"
        echo "slipway $VERSION, SHA-256 $sum"
        echo "$work/bin" >>"$GITHUB_PATH"
`, "<version>", p.quoted(p.file.Tool.Version), "<env>", indent(8, env.String()), "<cases>", indent(10, cases.String()),
		"<protocol>", protocol, "<unpack>", unpack))
}
