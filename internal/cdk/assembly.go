package cdk

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Assembly is what a synth wrote (AWS CDK: cloud assembly schema).
type Assembly struct {
	// Missing are the lookups that the app asked for and cdk.context.json does
	// not hold. What stands for them in the templates is made up.
	Missing []Missing
	// Templates are those of its stacks, nested assemblies' included.
	Templates []Template
	// Isolated says that the synth had no network at all; else AWS alone was
	// kept from it.
	Isolated bool
}

// ErrNoProgram says that there is nothing to synthesise an app with.
var ErrNoProgram = errors.New("no program to synthesise with")

// Missing is a lookup that a synth lacked.
type Missing struct {
	Key      string `json:"key"`
	Provider string `json:"provider"`
	Props    struct {
		Account string `json:"account"`
		Region  string `json:"region"`
	} `json:"props"`
}

// Template is one stack as CloudFormation takes it.
type Template struct {
	File       string
	Parameters map[string]struct {
		Type    string
		Default any
	}
	Resources map[string]struct{ Type string }

	text string
}

// manifest is the part of manifest.json that is read.
type manifest struct {
	Missing   []Missing `json:"missing"`
	Artifacts map[string]struct {
		Type       string `json:"type"`
		Properties struct {
			TemplateFile  string `json:"templateFile"`
			DirectoryName string `json:"directoryName"`
		} `json:"properties"`
	} `json:"artifacts"`
}

// ReadAssembly reads the assembly in a folder.
func ReadAssembly(tree fs.FS) (Assembly, error) {
	var a Assembly
	if err := a.read(tree, ".", 0); err != nil {
		return a, fmt.Errorf("reading the cloud assembly: %w", err)
	}
	slices.SortFunc(a.Templates, func(x, y Template) int { return strings.Compare(x.File, y.File) })
	return a, nil
}

func (a *Assembly) read(tree fs.FS, dir string, depth int) error {
	text, err := fs.ReadFile(tree, path.Join(dir, "manifest.json"))
	if err != nil {
		return err
	}
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return fmt.Errorf("%s: %w", path.Join(dir, "manifest.json"), err)
	}
	for _, missing := range m.Missing {
		if !slices.Contains(a.Missing, missing) {
			a.Missing = append(a.Missing, missing)
		}
	}
	for _, artifact := range m.Artifacts {
		switch p := artifact.Properties; {
		case artifact.Type == "aws:cloudformation:stack" && p.TemplateFile != "":
			err = a.template(tree, path.Join(dir, p.TemplateFile))
		case artifact.Type == "cdk:cloud-assembly" && p.DirectoryName != "" && depth < mostDepth:
			err = a.read(tree, path.Join(dir, p.DirectoryName), depth+1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *Assembly) template(tree fs.FS, file string) error {
	text, err := fs.ReadFile(tree, file)
	if err != nil {
		return err
	}
	t := Template{File: file, text: string(text)}
	if err := json.Unmarshal(text, &t); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	a.Templates = append(a.Templates, t)
	return nil
}

// Images says of the stacks whether any makes AgentCore runtimes, and whether
// any takes the image of an agent from its parameter when it is deployed: by a
// parameter of the template, or by a dynamic reference (AWS CloudFormation user
// guide: Systems Manager parameter types; dynamic references).
func (a Assembly) Images(agent string) (runtime, reads bool) {
	for _, t := range a.Templates {
		for _, r := range t.Resources {
			runtime = runtime || r.Type == "AWS::BedrockAgentCore::Runtime"
		}
		reads = reads || t.reads(agent)
	}
	return runtime, reads
}

func (t Template) reads(agent string) bool {
	for _, p := range t.Parameters {
		name, _ := p.Default.(string)
		if strings.HasPrefix(p.Type, "AWS::SSM::Parameter::Value<") && imageParameter(name, agent) {
			return true
		}
	}
	for rest := t.text; ; {
		_, after, ok := strings.Cut(rest, "{{resolve:ssm:")
		if !ok {
			return false
		}
		reference, _, _ := strings.Cut(after, "}}")
		name, _, _ := strings.Cut(reference, ":") // a version may follow
		if imageParameter(name, agent) {
			return true
		}
		rest = after
	}
}
