package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/slipway-cd/slipway/internal/cdk"
)

// checkSynth is the check that runs the app, which takes its time.
const checkSynth = "cdk-synth"

// cdkApps are the CDK apps of the repository. Where there is none, the checks of
// them are none.
func (x *examination) cdkApps(ctx context.Context) ([]string, error) {
	if x.Tree == nil {
		return nil, skipped("no work tree")
	}
	apps, err := x.apps.get(func() ([]string, error) { return cdk.Apps(ctx, x.Tree) })
	if err == nil && len(apps) == 0 {
		return nil, errAbsent
	}
	return apps, err
}

// cdkContext looks at what each CDK app of the repository has looked up: a
// synth in a job has no credentials to look anything up with.
func cdkContext(ctx context.Context, x *examination) (string, error) {
	apps, err := x.cdkApps(ctx)
	if err != nil {
		return "", err
	}
	for _, dir := range apps {
		if err := x.cdkFiles(ctx, dir); err != nil {
			return "", err
		}
	}
	return strings.Join(apps, ", "), nil
}

func (x *examination) cdkFiles(ctx context.Context, dir string) error {
	if lock, npm := cdk.Lock(x.Tree, dir); npm && lock == "" {
		x.finding("doctor/cdk-lock-missing", dir+" has no package-lock.json: npm ci refuses to install its dependencies",
			"run npm install in "+dir+" once, and commit package-lock.json").in(path.Join(dir, "package.json"))
	}
	file := path.Join(dir, cdk.ContextFile)
	text, err := fs.ReadFile(x.Tree, file)
	if err != nil {
		x.finding("doctor/cdk-context-missing", "the CDK app in "+dir+" has no "+cdk.ContextFile+": its synth asks AWS, and fails in a job without credentials",
			"run npx cdk synth in "+dir+" once with credentials, and commit "+file).in(file)
		return nil //nolint:nilerr // it is the finding
	}
	if x.Git != nil {
		if err := x.committed(ctx, file); err != nil {
			return err
		}
	}
	looked, err := cdk.ParseLookups(text)
	if err != nil {
		x.finding("doctor/cdk-context-broken", file+": "+err.Error(), "git checkout -- "+file+", or run npx cdk synth anew").in(file)
		return nil //nolint:nilerr // it is the finding
	}
	for _, key := range looked.Empty {
		x.finding("doctor/cdk-context-empty", file+" has no value for "+key, x.lookUp(dir, key)).in(file)
	}
	for _, miss := range looked.Missing(x.Target.Account, x.Target.Region) {
		x.missing(dir, miss.Key, "; it has "+miss.Other)
	}
	return nil
}

// missing reports a key, once.
func (x *examination) missing(dir, key, more string) {
	file := path.Join(dir, cdk.ContextFile)
	if x.keys[file+" "+key] {
		return
	}
	if x.keys == nil {
		x.keys = map[string]bool{}
	}
	x.keys[file+" "+key] = true
	x.finding("doctor/cdk-context-key", fmt.Sprintf("%s has no key %s%s", file, key, more), x.lookUp(dir, key)).in(file)
}

// lookUp says how one key is looked up anew, and no other (AWS CDK CLI
// reference: cdk context). --force is for a key that is not there.
func (x *examination) lookUp(dir, key string) string {
	account := x.Target.Account
	if k, ok := cdk.ParseKey(key); ok {
		account = k.Account
	}
	quoted := "'" + strings.ReplaceAll(key, "'", `'\''`) + "'"
	return fmt.Sprintf("with credentials of %s, in %s: npx cdk context --force --reset %s && npx cdk synth --quiet; it looks up that key alone, where --clear would drop all", account, dir, quoted)
}

func (x *examination) committed(ctx context.Context, file string) error {
	tracked, err := x.Git.Tracked(ctx, file)
	if err != nil || tracked {
		return err
	}
	ignored, err := x.Git.Ignored(ctx, file)
	if err != nil {
		return err
	}
	message, hint := file+" is not committed", "git add "+file+" && git commit"
	if ignored {
		message, hint = file+" is ignored by git", "take it out of .gitignore, then git add "+file+" && git commit"
	}
	x.finding("doctor/cdk-context-untracked", message, hint).in(file)
	return nil
}

// cdkSynth runs each app as a job without credentials would.
func cdkSynth(ctx context.Context, x *examination) (string, error) {
	apps, err := x.cdkApps(ctx)
	if err != nil {
		return "", err
	}
	var done []string
	for _, dir := range apps {
		assembly, err := x.synth(ctx, dir)
		var reason skipped
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return "", skipped(fmt.Sprintf("%s was not synthesised within %s", dir, synthPatience))
		case errors.As(err, &reason), ctx.Err() != nil:
			return "", err
		case len(assembly.Missing) > 0:
			for _, m := range assembly.Missing {
				x.missing(dir, m.Key, ", which its synth asks for")
			}
		case err != nil:
			x.finding("doctor/cdk-synth", "the CDK app in "+dir+" can't be synthesised without credentials: "+err.Error(),
				"run npx cdk synth --no-lookups in "+dir+" without AWS's variables, and mend what it says").in(path.Join(dir, "cdk.json"))
		}
		how := " without credentials"
		if assembly.Isolated {
			how += " and network"
		}
		done = append(done, dir+how)
	}
	return strings.Join(done, ", "), nil
}

// synth is what an app makes, once for all checks.
func (x *examination) synth(ctx context.Context, dir string) (cdk.Assembly, error) {
	if x.assemblies == nil {
		x.assemblies = map[string]*once[cdk.Assembly]{}
	}
	made := x.assemblies[dir]
	if made == nil {
		made = &once[cdk.Assembly]{}
		x.assemblies[dir] = made
	}
	return made.get(func() (cdk.Assembly, error) {
		switch {
		case !cdk.Installed(x.Tree, dir):
			return cdk.Assembly{}, skipped("npm dependencies are not installed: npm ci in " + dir)
		case x.Synth == nil:
			return cdk.Assembly{}, skipped("nothing is run here")
		}
		assembly, err := x.Synth(ctx, dir)
		if errors.Is(err, cdk.ErrNoProgram) {
			return assembly, skipped(err.Error())
		}
		return assembly, err
	})
}

// cdkImage says whether the stacks take the agent's image from where a delivery
// records it: else a later cdk deploy brings back the image that they name.
func cdkImage(ctx context.Context, x *examination) (string, error) {
	apps, err := x.cdkApps(ctx)
	if err != nil {
		return "", err
	}
	parameter := x.Target.Parameter("image-uri")
	with, file := "", "" // an app that makes runtimes
	for _, dir := range apps {
		x.cdkFrozen(dir)
		runtime, reads, err := x.cdkReads(ctx, dir)
		switch {
		case err != nil:
			return "", err
		case reads != "":
			return dir + ": " + reads, nil
		case runtime:
			with, file = dir, path.Join(dir, "cdk.json")
		}
	}
	if with == "" {
		return "no runtime in " + strings.Join(apps, ", "), nil
	}
	x.finding("doctor/cdk-image", "the CDK app in "+with+" makes a runtime and does not read "+parameter+": a later cdk deploy brings back the image that it names",
		"StringParameter.valueForStringParameter(this, '"+parameter+"') is the image's URI, read when the stack is deployed").in(file)
	return "", nil
}

// cdkReads says whether an app makes runtimes, and how it is known that it
// reads the image's parameter, "" where it does not: of its templates, or of
// its sources where there are none.
func (x *examination) cdkReads(ctx context.Context, dir string) (runtime bool, reads string, err error) {
	if assembly, err := x.synth(ctx, dir); err == nil || len(assembly.Templates) > 0 {
		runtime, read := assembly.Images(x.Target.Agent)
		if read {
			reads = "its templates read image-uri"
		}
		return runtime, reads, nil
	}
	sources, err := cdk.ReadSources(ctx, x.Tree, dir)
	if sources.Image {
		reads = "its sources speak of image-uri"
	}
	return sources.Runtime, reads, err
}

// cdkFrozen finds the image's parameter among the lookups.
func (x *examination) cdkFrozen(dir string) {
	file := path.Join(dir, cdk.ContextFile)
	text, err := fs.ReadFile(x.Tree, file)
	if err != nil {
		return // cdk-context says so
	}
	looked, err := cdk.ParseLookups(text)
	if err != nil {
		return
	}
	for _, key := range looked.Frozen(x.Target.Agent) {
		x.finding("doctor/cdk-image-frozen", file+" keeps the image as it was when "+key+" was looked up: a cdk deploy brings that one back",
			"read it when the stack is deployed, by valueForStringParameter instead of valueFromLookup; then npx cdk context --reset '"+key+"' in "+dir).in(file)
	}
}
