package cli

import (
	"bytes"
	"context"
	"errors"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/slipway-cd/slipway/internal/build"
	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/github"
)

// How long GitHub may take to answer when a delivery has ended: in a job that
// is being cancelled the runner kills what is left after seconds.
const (
	tellingTime = 30 * time.Second
	partingTime = 3 * time.Second
)

// reportToJob sets the outputs of a GitHub Actions step, writes its summary and
// gives the deployment, which GitHub has made of the job, its status and the
// environment's address. It tells of the delivery and does not decide it: a
// failure here is a warning, and a permission that is missing a line.
func (a *app) reportToJob(ctx context.Context, p *project, d *delivery.Deployment, err error) {
	job := github.JobFrom(a.Getenv)
	if !job.Actions {
		return
	}
	limit := tellingTime
	if ctx.Err() != nil {
		limit = partingTime
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	s := story{Deployment: d, err: err, job: job, url: environmentURL(p.env, d), agentLog: a.heard, oneOfMany: len(p.file.Agents()) > 1}
	a.heard = nil
	lacks := a.askGitHub(ctx, p, &s)
	if failed := errors.Join(a.appendTo(job.OutputFile, outputs(d, s.url)), a.appendTo(job.SummaryFile, s.write)); failed != nil {
		a.ui.warn("the step's outputs or summary could not be written: %v", failed)
	}
	a.noteLacks(lacks)
}

// askGitHub fills in what GitHub knows of the job, and tells it how the
// delivery ended. Without GITHUB_TOKEN nothing is asked for but the commits
// that the work tree has. It returns what the token may not do, and what that
// would be good for.
func (a *app) askGitHub(ctx context.Context, p *project, s *story) (lacks []string) {
	c := &github.Client{Getenv: a.Getenv, Name: s.job.Repository}
	var err error
	if s.Previous != nil {
		s.between, err = a.between(ctx, p.file.Dir, c, s.Previous.Revision, s.Revision)
		a.lack(&lacks, "contents: read (the list of commits)", err)
	}
	if !c.HasToken() {
		return nil
	}
	s.approvers, err = c.Approvers(ctx, s.job, s.Target.Environment)
	a.lack(&lacks, "actions: read (who approved)", err)
	a.lack(&lacks, "deployments: write (the deployment's status)", setStatus(ctx, c, s))
	return lacks
}

// lack notes the permission where an answer was that it is missing: to a token
// GitHub denies what is there, or says that it is not.
func (a *app) lack(lacks *[]string, permission string, err error) {
	switch {
	case err == nil:
	case errors.Is(err, delivery.ErrDenied) || errors.Is(err, delivery.ErrNotFound):
		*lacks = append(*lacks, permission)
	default:
		a.ui.line("note: %s", a.ui.tame(err.Error()))
	}
}

// noteLacks says in a line what the job's token may not do.
func (a *app) noteLacks(lacks []string) {
	if len(lacks) > 0 {
		a.ui.line("note: this job's GITHUB_TOKEN lacks %s", a.ui.tame(strings.Join(lacks, ", ")))
	}
}

// between is what lies between two releases: by the work tree, else, as a job's
// checkout is shallow, by GitHub.
func (a *app) between(ctx context.Context, dir string, c *github.Client, from, to string) (between, error) {
	b := between{from: from, to: to}
	if from == "" || to == "" || from == to {
		return between{}, nil
	}
	gap, err := build.FindGap(ctx, dir, a.Env, from, to)
	if err == nil {
		b.ahead, b.behind = gap.Ahead, gap.Behind
		for _, commit := range gap.Commits {
			b.commits = append(b.commits, commitDocument{commit.Revision, commit.Subject})
		}
		return b, nil
	}
	if !c.HasToken() {
		return b, nil
	}
	found, err := c.Compare(ctx, from, to)
	b.ahead, b.behind = found.Ahead, found.Behind
	for _, commit := range found.Commits {
		b.commits = append(b.commits, commitDocument{commit.Revision, commit.Subject})
	}
	return b, err
}

// setStatus gives the job's deployment its status, if there is one.
func setStatus(ctx context.Context, c *github.Client, s *story) error {
	id, err := c.JobDeployment(ctx, s.job, s.Target.Environment)
	if err != nil || id == 0 {
		return err
	}
	state, text := "success", github.Serves(s.Target.Agent, s.Revision, s.Runtime.Version)
	switch {
	case delivery.ExitCode(s.err) == 130:
		state, text = "error", s.verdict()
	case s.err != nil:
		state, text = "failure", s.verdict()
	}
	return c.SetDeploymentStatus(ctx, id, github.DeploymentStatus{State: state, Description: text,
		EnvironmentURL: s.url, LogURL: s.job.RunURL()})
}

// environmentURL is where the environment can be looked at: what slipway.yaml
// says, else the runtime's page of AWS's console.
func environmentURL(e config.Environment, d *delivery.Deployment) string {
	console := map[string]string{"": "console.aws.amazon.com", "cn": "console.amazonaws.cn", "us-gov": "console.amazonaws-us-gov.com"}
	switch {
	case e.URL != "":
		return e.URL
	case d.Runtime.ID == "":
		return ""
	}
	partition := ""
	for _, other := range []string{"cn", "us-gov"} {
		if strings.HasPrefix(d.Target.Region, other+"-") {
			partition = other
		}
	}
	return "https://" + d.Target.Region + "." + console[partition] + "/bedrock-agentcore/agents/" + url.PathEscape(d.Runtime.ID)
}

func (a *app) appendTo(name string, write func(*bytes.Buffer) error) error {
	if name == "" {
		return nil
	}
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(a.ui.redact(b.Bytes()))
	return errors.Join(err, f.Close())
}

func outputs(d *delivery.Deployment, url string) func(*bytes.Buffer) error {
	return func(b *bytes.Buffer) error {
		previous := ""
		if d.Previous != nil {
			previous = d.Previous.Version
		}
		var err error
		for _, o := range [][2]string{{"outcome", string(d.Outcome)}, {"revision", d.Revision}, {"digest", d.Digest},
			{"version", d.Runtime.Version}, {"previous-version", previous}, {"endpoint", d.Runtime.Endpoint}, {"url", url}} {
			err = errors.Join(err, github.WriteOutput(b, o[0], o[1]))
		}
		return err
	}
}
