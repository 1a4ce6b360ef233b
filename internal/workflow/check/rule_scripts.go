package check

import (
	"slices"
	"strconv"
	"strings"

	"github.com/slipway-cd/slipway/internal/pattern"
)

// checkScripts looks at what the scripts of a job do.
func (j *job) checkScripts() {
	j.checkShells()
	for _, s := range j.steps {
		s.checkWrites()
		s.walk(0, s.checkCommand)
		s.checkDownloads()
		s.checkGitHubScript()
	}
}

// at is where a word of the step's script stands.
func (s *step) at(w word) place {
	if strings.TrimSpace(w.raw) == "" {
		return s.place()
	}
	return s.job.doc.within(s.run, w.offset, w.raw)
}

func (s *step) checkCommand(c *command, st *shellState) {
	if len(c.words) == 0 {
		return
	}
	if s.job.credentialed() {
		s.checkDump(c)
		s.checkTrace(c)
	}
	s.checkTokenPrinted(c, st)
	if mentions(c, "::set-output") && st.held(c)&(secret|token) != 0 {
		s.job.doc.report("workflow/credentials-in-outputs", s.at(c.first()), "a credential becomes an output of the step")
	}
	s.checkPassword(c, st)
	s.checkPiped(c)
	s.checkSilenced(c)
	s.checkActor(c)
}

// checkWrites looks at what ends in files that outlive the step.
func (s *step) checkWrites() {
	d := s.job.doc
	unsafe := d.on("pull_request_target") || d.on("workflow_run")
	for _, w := range s.writes(0) {
		switch {
		case (w.file == "GITHUB_ENV" || w.file == "GITHUB_PATH") && (w.taint&foreign != 0 || unsafe && w.dynamic):
			d.report("workflow/github-env", s.at(w.at), "text of others goes to %s: a line end in it sets any variable of the later steps", w.file)
		case w.taint&token != 0:
			d.report("workflow/token-printed", s.at(w.at), "the job's token goes to %s", w.file)
		case w.taint&secret != 0:
			d.report("workflow/credentials-in-outputs", s.at(w.at), "a credential goes to %s, which outlives the step", w.file)
		}
	}
}

// checkDump finds commands that print every variable.
func (s *step) checkDump(c *command) {
	a := c.arguments()
	if len(a) == 0 {
		return
	}
	bare := len(a) == 1
	dumps := false
	switch program := strings.ToLower(c.program()); program {
	case "env", "printenv", "set", "export", "gci", "get-childitem", "dir", "ls", "declare", "typeset":
		switch {
		case strings.HasPrefix(program, "g") || program == "dir" || program == "ls":
			dumps = slices.ContainsFunc(a[1:], func(w word) bool { return strings.HasPrefix(strings.ToLower(w.text), "env:") })
		case program == "declare" || program == "typeset" || program == "export":
			dumps = bare && program == "export" || len(a) == 2 && slices.Contains([]string{"-p", "-x", "-xp", "-px"}, a[1].text)
		default:
			dumps = bare || program != "set" && len(a) == 2 && (a[1].text == "-0" || a[1].text == "--null")
		}
	case "cat", "strings", "xargs", "tr":
		dumps = slices.ContainsFunc(c.all(), func(w word) bool { return strings.HasPrefix(w.text, "/proc/") && strings.HasSuffix(w.text, "/environ") })
	case "python", "python3":
		dumps = mentions(c, "os.environ)", "os.environ.items", "dict(os.environ")
	case "node":
		dumps = mentions(c, "log(process.env)", "stringify(process.env")
	case "jq":
		dumps = slices.ContainsFunc(a[1:], func(w word) bool { return w.text == "env" || w.text == "$ENV" })
	}
	if dumps {
		s.job.doc.report("workflow/secrets-dumped", s.at(a[0]), "%s prints every variable, credentials among them", strings.TrimSpace(c.program()))
	}
}

func mentions(c *command, texts ...string) bool {
	return slices.ContainsFunc(c.all(), func(w word) bool {
		return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(w.text, t) })
	})
}

var traceFlag = pattern.New(`^-[a-zA-Z]*x[a-zA-Z]*$`)

// checkTrace finds scripts that print each command with its values.
func (s *step) checkTrace(c *command) {
	a := c.arguments()
	if len(a) < 2 || !slices.Contains([]string{"set", "bash", "sh", "zsh", "dash", "ksh", "Set-PSDebug"}, c.program()) {
		return
	}
	for i, w := range a[1:] {
		long := w.text == "xtrace" && a[i].text != "+o"
		shell := c.program() != "set" && c.program() != "Set-PSDebug"
		if shell && !strings.HasPrefix(w.text, "-") && !long {
			break // from here on the arguments are the script's
		}
		if traceFlag.MatchString(w.text) || long || c.program() == "Set-PSDebug" && strings.EqualFold(w.text, "-Trace") {
			s.job.doc.report("workflow/shell-trace", s.at(a[0]), "%s prints each command with its values, beside credentials", strings.TrimSpace(a[0].raw+" "+w.raw))
			return
		}
	}
}

// checkShells finds tracing in how a script is run.
func (j *job) checkShells() {
	if !j.credentialed() {
		return
	}
	shells := []node{j.doc.root.get("defaults").get("run").get("shell"), j.node.get("defaults").get("run").get("shell")}
	for _, s := range j.steps {
		shells = append(shells, s.node.get("shell"))
		if first, _, _ := strings.Cut(s.run.text(), "\n"); strings.HasPrefix(first, "#!") && slices.ContainsFunc(strings.Fields(first), traceFlag.MatchString) {
			j.doc.report("workflow/shell-trace", j.doc.within(s.run, 0, first), "%s prints each command with its values, beside credentials", first)
		}
		for name, v := range s.env {
			if name == "SHELLOPTS" && strings.Contains(v.value.text(), "xtrace") {
				j.doc.report("workflow/shell-trace", v.value.place(), "SHELLOPTS makes shells print each command with its values, beside credentials")
			}
		}
	}
	for _, n := range shells {
		if slices.ContainsFunc(strings.Fields(n.text()), func(f string) bool { return traceFlag.MatchString(f) || f == "xtrace" }) {
			j.doc.report("workflow/shell-trace", n.place(), "shell %s prints each command with its values, beside credentials", n.text())
		}
	}
}

// checkTokenPrinted finds the job's token on its way into the log.
func (s *step) checkTokenPrinted(c *command, st *shellState) {
	if c.captured() || c.then == "|" || mentions(c, "::add-mask::") {
		return
	}
	for _, r := range c.redirects {
		if r.target.text == "/dev/null" && !strings.HasPrefix(r.op, "2") {
			return
		}
	}
	for _, name := range []string{"-o", "--output", "-O"} {
		if w, ok := c.flag(name); ok && w.text != "/dev/null" && (c.program() == "curl" || c.program() == "wget") && st.printed(c)&token != 0 {
			s.job.doc.report("workflow/token-printed", s.at(c.arguments()[0]), "the job's token goes to the file %s", w.text)
			return
		}
	}
	if len(c.targets()) > 0 {
		return // checkWrites has seen it
	}
	if c.program() != "" && st.printed(c)&token != 0 || c.program() == "curl" && st.printed(c)&token != 0 {
		s.job.doc.report("workflow/token-printed", s.at(c.arguments()[0]), "the job's token, or what asks for it, is printed")
	}
}

// checkPassword finds credentials in the arguments of a command.
func (s *step) checkPassword(c *command, st *shellState) {
	d := s.job.doc
	logins := []string{"docker", "podman", "helm", "skopeo", "crane", "oras", "nerdctl", "buildah", "regctl", "az", "npm", "gh", "sshpass"}
	if slices.Contains(logins, c.program()) && (c.has("login") || c.program() == "sshpass") {
		for _, w := range c.arguments()[1:] {
			name, value, glued := strings.Cut(w.text, "=")
			if (name == "-p" || name == "--password" || name == "--pass") && (!glued || value != "") {
				d.report("workflow/password-argument", s.at(w), "a password on the command line of %s: every process of the machine can read it", c.program())
				return
			}
		}
	}
	if c.program() == "aws" && c.has("get-login") && c.has("ecr") {
		d.report("workflow/password-argument", s.at(c.arguments()[0]), "aws ecr get-login makes a command line with the password on it")
		return
	}
	if c.program() == "aws" && c.has("configure") && c.has("set") && (c.has("aws_access_key_id") || c.has("aws_secret_access_key")) {
		d.report("workflow/long-lived-keys", s.at(c.arguments()[0]), "AWS keys are written into a profile")
		return
	}
	words := c.arguments()
	for i, w := range words {
		name, value, glued := strings.Cut(w.text, "=")
		if !slices.Contains([]string{"-p", "-u", "--user", "--password", "--passwd", "--pass", "--token", "--secret", "--api-key", "--apikey", "--auth-token", "--access-key", "--secret-key", "--client-secret"}, name) {
			continue
		}
		held, at := st.of(w), w
		if !glued && i+1 < len(words) {
			held, at, value = st.of(words[i+1])|substitutedIn(st, c, words[i+1]), words[i+1], words[i+1].text
		}
		if held&(secret|token) != 0 && value != "" {
			d.report("workflow/password-argument", s.at(at), "a credential on the command line of %s: every process of the machine can read it", c.program())
			return
		}
	}
}

func substitutedIn(st *shellState, c *command, w word) taint {
	var t taint
	for _, inner := range c.inner {
		if inner.offset >= w.offset && inner.end <= w.offset+len(w.raw) && inner.then != "|" {
			t |= st.printed(inner)
		}
	}
	return t
}

func shells() []string {
	return []string{"sh", "bash", "zsh", "dash", "ksh", "ash", "python", "python3", "node", "perl", "ruby", "pwsh", "powershell", "iex", "Invoke-Expression", "php"}
}

func fetchers() []string {
	return []string{"curl", "wget", "iwr", "irm", "Invoke-WebRequest", "Invoke-RestMethod", "fetch", "aria2c"}
}

// checkPiped finds programs that come from the network and are run at once.
func (s *step) checkPiped(c *command) {
	report := func(from *command) {
		s.job.doc.report("workflow/unpinned-tool", s.at(from.arguments()[0]), "what %s fetches is run: whatever the server answers today", from.program())
	}
	if slices.Contains(fetchers(), c.program()) && c.then == "|" {
		for next := c.next; next != nil; next = next.next {
			if slices.Contains(shells(), next.program()) && runsInput(next) {
				report(c)
				return
			}
			if next.then != "|" {
				break
			}
		}
	}
	if slices.Contains(append(shells(), "source", ".", "eval"), c.program()) {
		for _, inner := range c.inner {
			if slices.Contains(fetchers(), inner.program()) {
				report(inner)
				return
			}
		}
	}
}

// runsInput says whether a shell runs what it is piped: not where it is given
// a script of its own.
func runsInput(c *command) bool {
	a := c.arguments()
	for i := 1; i < len(a); i++ {
		switch {
		case a[i].text == "-" || a[i].text == "-s" || a[i].text == "--":
			return true
		case a[i].text == "-c" || a[i].text == "-e" || a[i].text == "-m":
			return false
		case !strings.HasPrefix(a[i].text, "-"):
			return false
		}
	}
	return true
}

// checkDownloads finds scripts that are fetched, compared with nothing, and
// run.
func (s *step) checkDownloads() {
	fetched := map[string]*command{}
	for _, c := range s.commands {
		switch {
		case slices.Contains([]string{"sha256sum", "sha512sum", "shasum", "cosign", "gpg", "minisign", "slsa-verifier", "openssl", "Get-FileHash"}, c.program()) || c.program() == "gh" && c.has("attestation"):
			return // it is compared with something
		case slices.Contains(fetchers(), c.program()):
			for _, name := range []string{"-o", "--output", "-O", "--output-document", "-OutFile"} {
				if w, ok := c.flag(name); ok && w.text != "" && w.text != "-" && !strings.HasPrefix(w.text, "-") && !strings.Contains(w.text, "://") {
					fetched[base(w.text)] = c
				}
			}
			for _, w := range c.targets() {
				fetched[base(w.text)] = c
			}
			if c.program() == "wget" || c.has("-O") || c.has("-LO") || c.has("-sSLO") || c.has("-fsSLO") || c.has("--remote-name") {
				for _, w := range c.arguments() {
					if strings.Contains(w.text, "://") {
						fetched[base(w.text)] = c
					}
				}
			}
		}
		for _, w := range c.arguments() {
			from := fetched[base(w.text)]
			first := w.offset == c.arguments()[0].offset
			if from == nil || from == c || !first && !slices.Contains(append(shells(), "source", "."), c.program()) {
				continue
			}
			s.job.doc.report("workflow/unpinned-tool", s.at(from.arguments()[0]), "what %s fetches is run and compared with nothing: whatever the server answers today", from.program())
		}
	}
}

func base(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// delivers says whether a command changes what serves.
func (c *command) delivers() bool {
	has := func(words ...string) bool {
		return !slices.ContainsFunc(words, func(w string) bool { return !c.has(w) })
	}
	switch c.program() {
	case "slipway":
		return (has("deploy") || has("promote") || has("rollback")) && !has("--dry-run") && !has("--help")
	case "docker", "podman", "nerdctl", "buildah", "skopeo", "crane", "oras":
		return has("push") || has("--push") || c.program() == "skopeo" && has("copy")
	case "aws":
		for _, verb := range []string{"update-agent-runtime", "update-agent-runtime-endpoint", "create-agent-runtime", "update-service", "update-function-code", "create-deployment"} {
			if has(verb) {
				return true
			}
		}
		return has("cloudformation", "deploy")
	case "cdk", "sam", "serverless", "sls", "agentcore", "copilot", "npx", "pulumi", "terraform", "tofu", "kubectl", "helm", "make", "npm":
		switch {
		case c.program() == "terraform" || c.program() == "tofu" || c.program() == "kubectl":
			return has("apply")
		case c.program() == "helm":
			return has("upgrade") || has("install")
		case c.program() == "pulumi":
			return has("up")
		case c.program() == "npx":
			return has("cdk", "deploy")
		}
		return has("deploy") || has("launch") && c.program() == "agentcore"
	}
	return false
}

// checkSilenced finds deliveries whose failure nobody hears of.
func (s *step) checkSilenced(c *command) {
	if !c.delivers() {
		return
	}
	report := func(w word, how string) {
		s.job.doc.report("workflow/failure-ignored", s.at(w), "%s %s: the job is green whatever happened", c.program(), how)
	}
	first := c.arguments()[0]
	switch {
	case c.then == "||" && c.next != nil && excuses(c.next):
		report(first, "may fail without anybody hearing of it (|| "+c.next.program()+")")
	case c.then == "|" && !s.pipefail(c):
		report(first, "is piped on, and the shell looks at the last command alone")
	case c.then == "&" && !slices.ContainsFunc(s.commands, func(o *command) bool { return o.program() == "wait" }):
		report(first, "runs in the background, and nobody waits for it")
	case s.plusE(c):
		report(first, "runs after set +e")
	}
}

// excuses says whether a command after || makes a failure a success.
func excuses(c *command) bool {
	a := c.arguments()
	switch c.program() {
	case "true", ":", "echo", "printf", "sleep":
	case "exit", "return":
		return len(a) > 1 && a[1].text == "0"
	default:
		return false
	}
	for after := c; after.then == "&&" || after.then == ";" || after.then == "||"; after = after.next { // { echo failed; exit 1; }
		if after.next == nil {
			break
		}
		if n := after.next.arguments(); len(n) > 0 && n[0].text == "exit" && (len(n) == 1 || n[1].text != "0") {
			return len(c.words) > 0 && c.words[0].text != "{" && after.then != "&&"
		}
	}
	return true
}

// pipefail says whether a failure within a pipe counts: with shell: bash it
// does, with the default shell it does not (GitHub docs: workflow syntax, shell).
func (s *step) pipefail(c *command) bool {
	shell := s.node.get("shell").text()
	for _, n := range []node{s.job.node, s.job.doc.root} {
		if shell == "" {
			shell = n.get("defaults").get("run").get("shell").text()
		}
	}
	if shell == "bash" || strings.Contains(shell, "pipefail") {
		return true
	}
	for _, o := range s.commands {
		if o == c {
			return false
		}
		if o.program() == "set" && mentions(o, "pipefail") {
			return true
		}
	}
	return false
}

// plusE says whether set +e is on where a command runs, and nothing looks at
// how it ended.
func (s *step) plusE(c *command) bool {
	off, looked := false, false
	past := false
	for _, o := range s.commands {
		past = past || o == c
		if o.program() == "set" && !past {
			off = off && !o.has("-e") || o.has("+e")
		}
		if past {
			looked = looked || slices.ContainsFunc(o.words, func(w word) bool { return strings.Contains(w.raw, "$?") })
		}
	}
	return off && !looked
}

// checkActor finds scripts that trust a name.
func (s *step) checkActor(c *command) {
	if slices.Contains([]string{"[", "[[", "test"}, c.program()) && (c.expands("GITHUB_ACTOR") || c.expands("GITHUB_TRIGGERING_ACTOR")) && mentions(c, "[bot]") && !c.has("!=") {
		s.job.doc.report("workflow/bot-condition", s.at(c.arguments()[0]), "the run's actor is asked whether it is a bot: it is whoever started the last run, whose code runs is another matter")
	}
}

// checkGitHubScript looks at scripts of actions/github-script.
func (s *step) checkGitHubScript() {
	if s.action != "actions/github-script" {
		return
	}
	script := s.with.fold("script")
	text := script.text()
	at := func(piece string) place { return s.job.doc.within(script, strings.Index(text, piece), piece) }
	if strings.Contains(text, "getIDToken") && (strings.Contains(text, "console.") || strings.Contains(text, "core.info") || strings.Contains(text, "setOutput") || strings.Contains(text, "writeFile")) {
		s.job.doc.report("workflow/token-printed", at("getIDToken"), "the job's token is printed, or kept")
	}
	if (strings.Contains(text, "exportVariable") || strings.Contains(text, "addPath")) && strings.Contains(text, "context.payload") {
		piece := "exportVariable"
		if !strings.Contains(text, piece) {
			piece = "addPath"
		}
		s.job.doc.report("workflow/github-env", at(piece), "text of others becomes a variable of the later steps")
	}
	if strings.Contains(text, "process.env)") && s.job.credentialed() {
		s.job.doc.report("workflow/secrets-dumped", at("process.env)"), "the script prints every variable, credentials among them")
	}
}

func between(text string, low, high int) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n >= low && n <= high
}
