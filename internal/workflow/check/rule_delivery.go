package check

import (
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/pattern"
)

// checkDelivery looks at what stands beside a delivery in its job.
func (j *job) checkDelivery() {
	j.checkIgnored()
	if !j.deploys() {
		return
	}
	for _, s := range j.steps {
		if at, what := s.restores(); at.ok() {
			j.doc.report("workflow/cache-in-deploy", at.place(), "%s restores a cache that any job of the default branch may have written", what)
		}
		for _, c := range s.commands {
			if cacheFrom(c) {
				j.doc.report("workflow/cache-in-deploy", s.at(c.arguments()[0]), "the build restores a cache that any job of the default branch may have written")
			}
		}
		if c := s.tests(); c != nil {
			j.doc.report("workflow/mixed-job", s.at(c.arguments()[0]), "%s runs beside the delivery: code of every dependency may mint the job's token", program(c))
		}
	}
}

// program is a command's name with its first argument.
func program(c *command) string {
	a := c.arguments()
	if len(a) > 1 {
		return c.program() + " " + a[1].text
	}
	return c.program()
}

// restores is the input by which an action restores a cache, as far as it is
// known to.
func (s *step) restores() (node, string) {
	name := s.action[strings.LastIndexByte(s.action, '/')+1:]
	lookup := s.with.fold("lookup-only")
	switch {
	case (s.action == "actions/cache" || s.action == "actions/cache/restore") && !(lookup.ok() && truthy(lookup)):
		return s.uses, s.action
	case s.action == "swatinem/rust-cache" || strings.HasSuffix(name, "-cache") || name == "cache" && s.action != "actions/cache":
		return s.uses, s.action
	case name == "setup-go" || name == "setup-uv" || name == "setup-gradle": // they do unless told otherwise
		for _, option := range []string{"cache", "enable-cache", "cache-disabled"} {
			if on := s.with.fold(option); on.ok() {
				if truthy(on) == (option == "cache-disabled") {
					return node{}, ""
				}
				return on, s.action
			}
		}
		return s.uses, s.action
	}
	for _, option := range []string{"cache", "enable-cache", "bundler-cache", "cache-from", "cache-binary", "cache-dependency-path", "use-cache"} {
		if on := s.with.fold(option); on.ok() && truthy(on) && s.action != "" {
			return on, s.action
		}
	}
	if set := s.with.fold("set"); strings.HasPrefix(s.action, "docker/") && strings.Contains(set.text(), "cache-from") {
		return set, s.action
	}
	return node{}, ""
}

// cacheFrom says whether a build takes layers of an earlier one.
func cacheFrom(c *command) bool {
	return slices.ContainsFunc(c.arguments(), func(w word) bool {
		return w.text == "--cache-from" || strings.HasPrefix(w.text, "--cache-from=") || w.text == "--import-cache" || strings.HasPrefix(w.text, "--import-cache=")
	}) && slices.Contains([]string{"docker", "podman", "buildctl", "buildah", "nerdctl"}, c.program())
}

// tests is the first command of a step that runs tests or installs what they
// depend on.
func (s *step) tests() *command {
	for _, c := range s.commands {
		if isTest(c) {
			return c
		}
	}
	return nil
}

func isTest(c *command) bool {
	either := func(words ...string) bool { return slices.ContainsFunc(words, c.has) }
	switch c.program() {
	case "npm", "pnpm", "yarn", "bun":
		return either("ci", "install", "i", "test", "t", "add", "lint") || c.program() == "yarn" && len(c.arguments()) == 1
	case "pip", "pip3", "poetry", "uv", "pipenv", "pdm", "bundle", "composer", "gem", "conda":
		return either("install", "sync", "add", "update")
	case "python", "python3":
		return either("pytest", "unittest", "pip", "tox")
	case "go", "cargo", "mvn", "gradle", "gradlew", "mvnw", "make", "dotnet", "mix", "deno":
		return either("test", "check", "verify", "nextest", "lint")
	case "pytest", "tox", "nox", "jest", "vitest", "mocha", "rspec", "phpunit", "ctest", "bats", "ruff", "black", "flake8", "mypy", "eslint", "golangci-lint":
		return true
	case "npx":
		return either("jest", "vitest", "mocha", "eslint", "playwright")
	}
	return false
}

// checkIgnored finds deliveries whose failure GitHub is told to overlook.
func (j *job) checkIgnored() {
	delivers := func(s *step) bool {
		return s.takesCredentials() && j.deploys() || slices.ContainsFunc(s.commands, (*command).delivers) ||
			strings.HasPrefix(s.action, "aws-actions/") && strings.Contains(s.action, "deploy") || truthy(s.with.fold("push")) && s.action == "docker/build-push-action"
	}
	if on := j.node.get("continue-on-error"); on.ok() && truthy(on) && (j.deploys() || slices.ContainsFunc(j.steps, delivers)) {
		j.doc.report("workflow/failure-ignored", on.place(), "%s may fail, and the run is green all the same", j.name())
	}
	for _, s := range j.steps {
		if on := s.node.get("continue-on-error"); on.ok() && truthy(on) && delivers(s) {
			j.doc.report("workflow/failure-ignored", on.place(), "the step may fail, and what follows runs all the same")
		}
	}
}

var (
	regionWord   = pattern.New(`^(?:af|ap|ca|cn|eu|eusc|il|me|mx|sa|us)(?:-gov|-iso[a-z]?|-de)?-(?:central|north|south|east|west|northeast|northwest|southeast|southwest)-\d$`)
	latestImage  = pattern.New(`"containerUri"\s*:\s*"[^"]*:latest"`)
	subnetsInRun = pattern.New(`"subnets"\s*:\s*\[\s*("(?:[^"\\]|\\.)*")\s*\]`)
	commaSubnets = pattern.New(`subnet-[0-9a-zA-Z]{8,17}\s*,\s*subnet-`)
	severalName  = pattern.New(`(?i)(subnets|subnet_?ids)`)
	loudName     = pattern.New(`^[A-Z][A-Z0-9_]*$`)
)

// checkSteps looks for what a delivery lacks, and for what it does by hand.
func (j *job) checkSteps() {
	j.checkTree()
	j.checkRegistry()
	j.checkVariables()
	j.checkRegions()
	j.checkRebuild()
	j.checkPlainSecrets()
	for _, s := range j.steps {
		for _, c := range s.commands {
			s.checkUpdate(c)
		}
		s.checkSubnets()
	}
}

// checkTree finds work on a tree that nobody has checked out.
func (j *job) checkTree() {
	for _, s := range j.steps {
		name := s.action[strings.LastIndexByte(s.action, '/')+1:]
		if name == "checkout" || strings.HasPrefix(name, "download-artifact") || slices.ContainsFunc(s.commands, func(c *command) bool {
			return c.program() == "git" && (c.has("clone") || c.has("init") || c.has("fetch")) || c.program() == "gh" && c.has("clone")
		}) {
			return
		}
		switch c := s.needsTree(); {
		case c != nil:
			j.doc.report("workflow/missing-checkout", s.at(c.arguments()[0]), "%s works on files that nothing has checked out", program(c))
			return
		case local(s.uses.text()):
			j.doc.report("workflow/missing-checkout", s.uses.place(), "%s is in a work tree that nothing has checked out", s.uses.text())
			return
		}
	}
}

func (s *step) needsTree() *command {
	for _, c := range s.commands {
		switch c.program() {
		case "slipway":
			if slices.ContainsFunc([]string{"build", "deploy", "promote", "rollback", "status", "doctor"}, c.has) {
				return c
			}
		case "docker", "podman":
			if c.has("build") && (c.has(".") || c.has("./")) {
				return c
			}
		case "npm":
			if c.has("ci") {
				return c
			}
		case "ruff", "black", "pytest", "cdk":
			return c
		}
	}
	return nil
}

// checkRegistry finds pushes to ECR that nothing logs in for.
func (j *job) checkRegistry() {
	for _, s := range j.steps {
		if s.action == "aws-actions/amazon-ecr-login" || s.action == "docker/login-action" || s.uses.ok() && local(s.uses.text()) {
			return
		}
		for _, c := range s.commands {
			if c.has("login") || c.has("get-login-password") || c.program() == "amazon-ecr-credential-helper" || mentions(c, "ecr-login") {
				return
			}
			if c.program() != "docker" && c.program() != "podman" || !c.has("push") && !c.has("--push") {
				continue
			}
			if ecr := slices.ContainsFunc(c.arguments(), func(w word) bool {
				return strings.Contains(w.text, ".dkr.ecr.") || strings.Contains(strings.ToUpper(w.raw), "ECR")
			}); ecr {
				j.doc.report("workflow/missing-ecr-login", s.at(c.arguments()[0]), "%s pushes to ECR, and nothing has logged in there", j.name())
				return
			}
		}
	}
}

// checkVariables finds variables that are read and set nowhere.
func (j *job) checkVariables() {
	set := map[string]bool{}
	blind := false // somebody may set what can't be seen here
	for _, s := range j.steps {
		if s.action != "" && !strings.HasPrefix(s.action, "actions/") && !strings.HasPrefix(s.action, "aws-actions/") && !strings.HasPrefix(s.action, "docker/") || s.action == "actions/github-script" {
			blind = true
		}
		for _, c := range s.commands {
			if name := c.program(); name == "source" || name == "." || name == "eval" || name == "read" || name == "mapfile" || name == "readarray" || name == "for" || name == "getopts" {
				blind = true
			}
			for name := range c.assignments() {
				set[name] = true
			}
		}
		for _, w := range s.writes(0) {
			if w.file != "GITHUB_ENV" {
				continue
			}
			for _, from := range s.sources(w.command) {
				for _, word := range from.all() {
					for _, line := range strings.Split(word.text, "\n") {
						if name, _, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
							set[name] = true
						} else if name, _, ok := strings.Cut(strings.TrimSpace(line), "<<"); ok {
							set[name] = true
						}
					}
				}
				blind = blind || from.program() != "echo" && from.program() != "printf" && from.program() != "cat" && from.program() != ""
			}
		}
	}
	if blind {
		return
	}
	told := map[string]bool{}
	for _, s := range j.steps {
		j.checkRead(s, set, told)
	}
}

func (j *job) checkRead(s *step, set, told map[string]bool) {
	known := func(name string) bool {
		if _, ok := s.env[name]; ok || set[name] || told[name] || s.folded(name) {
			return true
		}
		for _, p := range []string{"GITHUB_", "RUNNER_", "ACTIONS_", "AWS_", "INPUT_"} {
			if strings.HasPrefix(name, p) {
				return true
			}
		}
		return slices.Contains([]string{"CI", "HOME", "PATH", "PWD", "USER", "SHELL", "TMPDIR", "HOSTNAME", "UID", "RANDOM", "SECONDS", "IFS", "LINENO", "PPID", "EUID", "LANG", "OSTYPE", "OLDPWD", "REPLY", "OPTARG", "OPTIND", "BASH", "PIPESTATUS", "BASH_SOURCE", "FUNCNAME", "JAVA_HOME", "GOPATH", "GOROOT", "ANDROID_HOME", "NVM_DIR", "DEBIAN_FRONTEND", "XDG_CONFIG_HOME"}, name)
	}
	report := func(name string, at place) {
		if told[name] {
			return
		}
		told[name] = true
		j.doc.report("workflow/unset-variable", at, "%s is read and set nowhere: it is empty", name)
	}
	texts := []node{s.run, s.node.get("if"), s.node.get("working-directory")}
	for _, e := range s.with.entries() {
		texts = append(texts, e.value)
	}
	for _, n := range texts {
		for _, e := range expressions(n.text()) {
			e.paths(func(p dotted) {
				if name := strings.ToUpper(p.nth(1)); p.nth(0) == "env" && len(p) > 1 && p[1] != "*" && !known(name) && !s.folded(name) {
					report(name, j.doc.within(n, e.offset, e.raw))
				}
			})
		}
	}
	for _, c := range s.commands {
		for _, w := range c.all() {
			for _, name := range w.variables {
				optional := strings.Contains(w.raw, "{"+name+":") || strings.Contains(w.raw, "{"+name+"-") || strings.Contains(w.raw, "{"+name+"+")
				if loudName.MatchString(name) && !optional && !known(name) {
					report(name, j.doc.within(s.run, w.offset+max(0, strings.Index(w.raw, "$"+name)), w.raw))
				}
			}
		}
	}
}

// folded says whether a variable is set under a name of any case: contexts
// have none.
func (s *step) folded(name string) bool {
	for n := range s.env {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// checkRegions finds a job that speaks to two regions.
func (j *job) checkRegions() {
	first := ""
	visit := func(region string, at place) {
		switch {
		case !regionWord.MatchString(region):
		case first == "":
			first = region
		case region != first:
			j.doc.report("workflow/regions-differ", at, "%s speaks to %s here and to %s before", j.name(), region, first)
		}
	}
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		if v, ok := j.env[name]; ok {
			visit(v.value.text(), v.value.place())
		}
	}
	for _, s := range j.steps {
		if region := s.with.fold("aws-region"); region.ok() {
			visit(region.text(), region.place())
		}
		for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
			if v := s.node.get("env").get(name); v.ok() {
				visit(v.text(), v.place())
			}
		}
		for _, c := range s.commands {
			if w, ok := c.flag("--region"); ok && (c.program() == "aws" || c.program() == "slipway") {
				visit(w.text, s.at(w))
			}
		}
	}
}

// checkRebuild finds jobs that build anew for the environment that is chosen.
func (j *job) checkRebuild() {
	if !j.deploys() || !j.doc.on("workflow_dispatch") {
		return
	}
	if c := j.choices(j.environment().text()); !c.several() {
		return
	}
	for _, s := range j.steps {
		if s.action == "docker/build-push-action" {
			j.doc.report("workflow/rebuild-on-promotion", s.place(), "each environment that is chosen gets a build of its own: what was tested is not what ships")
			return
		}
		for _, c := range s.commands {
			if (c.program() == "docker" || c.program() == "podman") && c.has("build") {
				j.doc.report("workflow/rebuild-on-promotion", s.at(c.arguments()[0]), "each environment that is chosen gets a build of its own: what was tested is not what ships")
				return
			}
		}
	}
}

// checkPlainSecrets finds names that are kept as secrets.
func (j *job) checkPlainSecrets() {
	if !j.deploys() {
		return
	}
	scalars(j.node.Node, func(n node) {
		for _, e := range expressions(n.text()) {
			variables := map[string]bool{}
			e.paths(func(p dotted) {
				if p.nth(0) == "vars" {
					variables[p.nth(1)] = true // a secret of the name is for who has it as one still
				}
			})
			e.paths(func(p dotted) {
				if p.nth(0) == "secrets" && plainSecret.MatchString(p.nth(1)) && !variables[p.nth(1)] {
					j.doc.report("workflow/plain-secret", j.doc.within(n, e.offset, e.raw), "%s names something and is no secret: kept as one it is hidden in every log, and nobody sees it drift", strings.ToUpper(p.nth(1)))
				}
			})
		}
	})
}

// checkUpdate finds runtimes that are updated by hand.
func (s *step) checkUpdate(c *command) {
	if c.program() != "aws" || !c.has("update-agent-runtime") {
		return
	}
	d := s.job.doc
	first := c.arguments()[0]
	if !c.has("--cli-input-json") {
		if _, ok := c.flag("--cli-input-json"); !ok {
			d.report("workflow/hand-update", s.at(first), "update-agent-runtime replaces the whole configuration: environment variables, authorizer and lifecycle that are not given are lost, and nothing waits for the outcome")
		}
	}
	for _, w := range c.arguments() {
		if latestImage.MatchString(w.text) || strings.HasSuffix(w.text, ":latest") || strings.Contains(w.text, "containerUri=") && strings.Contains(w.text, ":latest") {
			d.report("workflow/latest-image", s.at(w), "the runtime is given :latest: which image a version runs then changes with the tag")
		}
	}
}

// checkSubnets finds lists of subnets that become one text.
func (s *step) checkSubnets() {
	text := s.run.text()
	for _, m := range subnetsInRun.FindAllStringSubmatch(strings.ReplaceAll(text, `\"`, `"`), -1) {
		element := strings.Trim(m[1], `"`)
		joined := commaSubnets.MatchString(element) || severalName.MatchString(element) && (strings.Contains(element, "$"))
		if joined {
			piece := element
			s.job.doc.report("workflow/comma-subnets", s.job.doc.within(s.run, max(0, strings.Index(text, piece)), piece), "the whole list becomes one subnet's id: AWS refuses a comma in it")
		}
	}
	for _, c := range s.commands {
		if w, ok := c.flag("--platform"); ok && w.text == "linux/amd64" && (c.program() == "docker" || c.program() == "podman") && s.job.updatesAgentCore() {
			s.job.doc.report("workflow/amd64-image", s.at(w), "AgentCore's microVMs run linux/arm64 alone and refuse this image")
		}
	}
}

func (j *job) updatesAgentCore() bool {
	return slices.ContainsFunc(j.steps, func(s *step) bool {
		return slices.ContainsFunc(s.commands, func(c *command) bool {
			return c.program() == "aws" && (c.has("update-agent-runtime") || c.has("create-agent-runtime"))
		})
	})
}
