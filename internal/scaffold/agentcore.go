package scaffold

import (
	"encoding/json"
	"errors"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/pattern"
)

// project is agentcore/agentcore.json of AWS's agentcore CLI (@aws/agentcore
// 0.30.0), as far as it says what an image is built of. Up to 0.3 the runtimes
// stood under agents (aws/agentcore-cli#719); both forms say version 1.
type project struct {
	Version  int               `json:"version"`
	Runtimes []json.RawMessage `json:"runtimes"`
	Agents   []json.RawMessage `json:"agents"`
}

// agentRuntime is one runtime of it. Paths go from the directory that holds
// agentcore/.
type agentRuntime struct {
	Name       string            `json:"name"`
	Build      string            `json:"build"` // Container or CodeZip
	Code       string            `json:"codeLocation"`
	Context    string            `json:"buildContextPath"` // else Code
	Dockerfile string            `json:"dockerfile"`       // from the context; else Dockerfile
	Args       map[string]string `json:"customDockerBuildArgs"`
}

// awsTarget is one entry of agentcore/aws-targets.json.
type awsTarget struct {
	Name    string `json:"name"`
	Account string `json:"account"`
	Region  string `json:"region"`
}

// deployedState is agentcore/.cli/deployed-state.json as far as it names
// runtimes.
type deployedState struct {
	Targets map[string]struct {
		Resources struct {
			Runtimes map[string]deployedRuntime `json:"runtimes"`
			Agents   map[string]deployedRuntime `json:"agents"`
		} `json:"resources"`
	} `json:"targets"`
}

type deployedRuntime struct {
	ID string `json:"runtimeId"`
}

// runtimeID is the form of a runtime's id (system: S51).
var runtimeID = pattern.New(`^[a-zA-Z][a-zA-Z0-9_]{0,99}-[a-zA-Z0-9]{10}$`)

// most is how many runtimes and targets of a file are looked at.
const most = 200

// agentcore takes over a project of AWS's agentcore CLI.
func (l *looker) agentcore(file string) {
	var p project
	if !l.decode(file, &p) {
		return
	}
	if p.Version > 1 {
		l.note("%s says version %d, which is newer than this slipway knows; check what was made of it", show(file), p.Version)
	}
	runtimes := p.Runtimes
	if len(runtimes) == 0 {
		runtimes = p.Agents
	}
	if len(runtimes) == 0 {
		l.note("%s names no runtimes", show(file))
	}
	root := path.Dir(path.Dir(file))
	for i, raw := range runtimes[:min(len(runtimes), most)] {
		var r agentRuntime
		if err := json.Unmarshal(raw, &r); err != nil {
			l.note("%s: runtime %d can't be read: %v", show(file), i+1, jsonReason(err))
			continue
		}
		l.runtime(file, root, r)
		l.settings(file, r.Name, raw)
	}
	l.awsTargets(path.Join(path.Dir(file), "aws-targets.json"))
	l.deployed(path.Join(path.Dir(file), ".cli", "deployed-state.json"))
}

// settings says which of a runtime's settings slipway.yaml could state and does
// not: what is live stays, and a runtime that is made anew lacks them.
func (l *looker) settings(file, name string, raw json.RawMessage) {
	var all map[string]json.RawMessage
	if json.Unmarshal(raw, &all) != nil {
		return // runtime has said so
	}
	var left []string
	for _, member := range []struct{ name, usual string }{
		{"networkMode", `"PUBLIC"`}, {"networkConfig", "{}"}, {"protocol", `"HTTP"`}, {"authorizerType", `"AWS_IAM"`},
		{"authorizerConfiguration", "{}"}, {"envVars", "[]"}, {"requestHeaderAllowlist", "[]"}, {"lifecycleConfiguration", "{}"},
	} {
		value := string(all[member.name])
		if value != "" && value != "null" && value != member.usual {
			left = append(left, member.name)
		}
	}
	if len(left) > 0 {
		l.note("%s: runtime %s: not taken over: %s. What is live stays; for a runtime that is made anew, state them under runtime and network",
			show(file), show(name), strings.Join(left, ", "))
	}
}

// runtime makes an agent of a runtime that has a Dockerfile.
func (l *looker) runtime(file, root string, r agentRuntime) {
	what := show(file) + ": runtime " + show(r.Name)
	if config.CheckValue(config.ValueAgent, r.Name) != nil {
		l.note("%s is left out: slipway.yaml takes no such name", what)
		return
	}
	a := Agent{Name: r.Name, Named: true, Path: r.Code, Engine: config.EngineDocker, Dockerfile: "Dockerfile", file: file}
	if r.Context != "" {
		a.Path = r.Context
	}
	if r.Dockerfile != "" {
		a.Dockerfile = r.Dockerfile
	}
	var ok bool
	if a.Path, ok = within(root, a.Path); !ok {
		l.note("%s is left out: its code is outside this repository", what)
		return
	}
	image := path.Join(a.Path, a.Dockerfile)
	switch {
	case config.CheckValue(config.ValuePath, a.Dockerfile) != nil:
		l.note("%s is left out: slipway.yaml can't name its Dockerfile", what)
		return
	case !l.exists(image) && r.Build == "CodeZip":
		l.note("%s is left out: it is a CodeZip, and slipway delivers images; with %s it can be delivered", what, show(image))
		return
	case !l.exists(image):
		l.note("%s is left out: there is no %s", what, show(image))
		return
	}
	d, ok := l.dockerfile(image)
	if !ok {
		return
	}
	a.Args = l.arguments(what, r.Args)
	l.add(a, "%s, %s%s", what, show(image), d.facts())
}

// within joins a path of a project's file to its root; false where that leads
// out of the repository.
func within(root, p string) (string, bool) {
	if strings.HasPrefix(p, "/") || strings.Contains(p, `\`) {
		return "", false
	}
	joined := path.Join(root, p)
	return joined, joined != ".." && !strings.HasPrefix(joined, "../")
}

// arguments takes over build arguments, but for what slipway.yaml refuses.
func (l *looker) arguments(what string, args map[string]string) map[string]string {
	taken := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(args)) {
		switch {
		case config.CheckValue(config.ValueVariable, key) != nil:
			l.note("%s: a build argument is left out: slipway.yaml takes no such name", what)
		case config.CheckValue(config.ValueArgument, args[key]) != nil:
			l.note("%s: build argument %s is left out: slipway.yaml takes no such value", what, show(key))
		default:
			taken[key] = args[key]
		}
	}
	return taken
}

// awsTargets reads the accounts and regions that the CLI deploys to: a list,
// or a list within targets.
func (l *looker) awsTargets(file string) {
	if !l.exists(file) {
		return
	}
	text := l.read(file)
	var list []json.RawMessage
	err := json.Unmarshal([]byte(text), &list)
	if err != nil {
		var wrapped struct {
			Targets []json.RawMessage `json:"targets"`
		}
		if json.Unmarshal([]byte(text), &wrapped) == nil {
			list, err = wrapped.Targets, nil
		}
	}
	if err != nil && text != "" {
		l.note("%s can't be read: %v", show(file), jsonReason(err))
	}
	for i, raw := range list[:min(len(list), most)] {
		var t awsTarget
		if err := json.Unmarshal(raw, &t); err != nil {
			l.note("%s: target %d can't be read: %v", show(file), i+1, jsonReason(err))
			continue
		}
		l.target(file, t)
	}
}

func (l *looker) target(file string, t awsTarget) {
	switch {
	case config.CheckValue(config.ValueName, t.Name) != nil:
		l.note("%s: target %s is left out: slipway.yaml takes no such name", show(file), show(t.Name))
		return
	case config.CheckValue(config.ValueAccount, t.Account) != nil:
		l.note("%s: target %s is left out: its account is not 12 digits", show(file), t.Name)
		return
	case slices.ContainsFunc(l.Targets, func(o Target) bool { return strings.EqualFold(o.Name, t.Name) }):
		l.note("%s: target %s is left out: there is another of that name", show(file), t.Name)
		return
	}
	if config.CheckValue(config.ValueRegion, t.Region) != nil {
		if t.Region != "" {
			l.note("%s: target %s names no AWS region", show(file), t.Name)
		}
		t.Region = ""
	}
	l.Targets = append(l.Targets, Target{Name: t.Name, Account: t.Account, Region: t.Region, Runtimes: map[string]string{}})
	l.found("%s: target %s, account %s%s", show(file), t.Name, t.Account, inRegion(t.Region))
}

func inRegion(region string) string {
	if region == "" {
		return ""
	}
	return " in " + region
}

// deployed reads which runtimes the CLI has made.
func (l *looker) deployed(file string) {
	if !l.exists(file) {
		return
	}
	var state deployedState
	if !l.decode(file, &state) {
		return
	}
	for i, t := range l.Targets {
		resources := state.Targets[t.Name].Resources
		for _, runtimes := range []map[string]deployedRuntime{resources.Agents, resources.Runtimes} {
			for name, r := range runtimes {
				if runtimeID.MatchString(r.ID) {
					l.Targets[i].Runtimes[name] = r.ID
				}
			}
		}
	}
}

// decode reads a JSON file; false after noting why it can't.
func (l *looker) decode(file string, v any) bool {
	text := l.read(file)
	if text == "" {
		return false
	}
	if err := json.Unmarshal([]byte(text), v); err != nil {
		l.note("%s can't be read: %v", show(file), jsonReason(err))
		return false
	}
	return true
}

// jsonReason is an error of the JSON reader without Go's names in it.
func jsonReason(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		return errors.New("its member " + show(wrong.Field) + " is of the wrong type")
	}
	if errors.As(err, &wrong) {
		return errors.New("it is a JSON " + wrong.Value)
	}
	return err
}

// lookup is the key of a value that CDK keeps of an account and a region.
var lookup = pattern.New(`^[a-z-]+:account=([0-9]{12}):(?:.*:)?region=([a-z0-9-]+)(?::.*)?$`)

// lookups reads the account and the region that CDK has looked something up
// in, where all of its files agree.
func (l *looker) lookups() {
	accounts, regions := map[string]bool{}, map[string]bool{}
	for _, file := range l.contexts {
		var keys map[string]json.RawMessage
		if !l.decode(file, &keys) {
			continue
		}
		for key := range keys {
			if m := lookup.FindStringSubmatch(key); m != nil && config.CheckValue(config.ValueRegion, m[2]) == nil {
				accounts[m[1]], regions[m[2]] = true, true
			}
		}
	}
	if len(accounts) == 0 {
		return
	}
	var t Target
	t.Account, t.Region = only(accounts), only(regions)
	if t.Account == "" {
		l.note("cdk.context.json names %d accounts: which one is meant is for you to say", len(accounts))
		return
	}
	l.Targets = append(l.Targets, t)
	l.found("%s: account %s%s", show(l.contexts[0]), t.Account, inRegion(t.Region))
}

// only is the only word of a set, or "".
func only(words map[string]bool) string {
	if len(words) != 1 {
		return ""
	}
	for w := range words {
		return w
	}
	return ""
}
