package cli

import (
	"context"
	"path/filepath"

	"github.com/slipway-cd/slipway/internal/awsauth"
	"github.com/slipway-cd/slipway/internal/build"
	"github.com/slipway-cd/slipway/internal/cdk"
	"github.com/slipway-cd/slipway/internal/cdk/synth"
	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/doctor"
	"github.com/slipway-cd/slipway/internal/ecr"
	"github.com/slipway-cd/slipway/internal/github"
	"github.com/slipway-cd/slipway/internal/iam"
)

func gitTree(p *project, env []string) doctor.Git { return build.Tree{Dir: p.file.Dir, Env: env} }

func enginePresent(p *project, env []string) error { return build.Present(p.agent.Build.Engine, env) }

// synthesised is what CDK apps made, by their folders: --all asks for each
// several times.
type synthesised map[string]func() (cdk.Assembly, error)

// synth runs the CDK apps of a repository, each once.
func (a *app) synth(root string) func(context.Context, string) (cdk.Assembly, error) {
	return func(ctx context.Context, dir string) (cdk.Assembly, error) {
		if a.synths == nil {
			a.synths = synthesised{}
		}
		dir = filepath.Join(root, filepath.FromSlash(dir))
		if a.synths[dir] == nil {
			a.ui.draft("synthesising %s", dir)
			assembly, err := synth.Synth{Dir: dir, Env: a.Env}.Run(ctx)
			a.synths[dir] = func() (cdk.Assembly, error) { return assembly, err }
		}
		return a.synths[dir]()
	}
}

// connect gives a doctor the ports that need the network. What can't be opened
// is a finding of the check that needs it.
func (a *app) connect(ctx context.Context, p *project, d *doctor.Doctor) {
	if client := (&github.Client{Getenv: a.Getenv, Name: p.file.GitHub.String()}); client.HasToken() && client.Name != "" {
		d.GitHub = host{client}
	}
	minter := github.Minter{Getenv: a.Getenv}
	if minter.Available() || github.JobFrom(a.Getenv).Actions {
		d.Claims = func(ctx context.Context) (map[string]string, error) {
			token, err := minter.IDToken(ctx, awsauth.DefaultAudience)
			if err != nil {
				return nil, err
			}
			return github.Claims(token)
		}
	}
	session, err := a.session(ctx, p)
	if err != nil {
		d.Login = shut{err}
		return
	}
	deliverer, err := a.delivererOf(session, p)
	if err != nil {
		d.Login = shut{err}
		return
	}
	d.Login, d.Clock = session, session.Clock
	d.Roles = roles{&iam.Client{Config: session.Config(awsauth.IAM)}}
	d.Parameters, d.Runtimes, d.Images, d.Status = deliverer.Parameters, deliverer.Runtimes, deliverer.Repository, deliverer.Status
	d.Archive = deliverer.Archive
	d.Repository = repositorySettings{ecr.New(session.Config(awsauth.ECR))}
}

// host puts GitHub's answers into the doctor's words.
type host struct{ client *github.Client }

func (h host) Repository(ctx context.Context) (doctor.GitHubRepository, error) {
	r, err := h.client.Repository(ctx)
	if err != nil {
		return doctor.GitHubRepository{}, err
	}
	form, err := h.client.Subject(ctx)
	return doctor.GitHubRepository{FullName: r.FullName, OwnerID: r.OwnerID, ID: r.ID, DefaultBranch: r.DefaultBranch,
		SubjectPrefix: form.Prefix, Template: form.ClaimKeys}, err
}

func (h host) Environment(ctx context.Context, name string) (doctor.GitHubEnvironment, error) {
	g, err := h.client.Gate(ctx, name)
	e := doctor.GitHubEnvironment{Reviewers: g.Reviewers, PreventSelfReview: g.PreventSelf, AdminsBypass: g.AdminsBypass,
		AnyBranch: !g.ProtectedBranches && !g.NamedBranches, ProtectedBranches: g.ProtectedBranches}
	for _, b := range g.Branches {
		if !b.Tag {
			e.Branches = append(e.Branches, b.Name)
		}
	}
	return e, err
}

func (h host) Variables(ctx context.Context, environment string) (map[string]string, error) {
	return h.client.Variables(ctx, environment)
}

// roles puts IAM's answers into the doctor's words.
type roles struct{ *iam.Client }

func (r roles) Audiences(ctx context.Context, account, issuer string) ([]string, error) {
	provider, err := r.Provider(ctx, account, issuer)
	return provider.Audiences, err
}

// shut is a session that could not be opened.
type shut struct{ err error }

func (s shut) Login(context.Context) (delivery.Caller, error) { return delivery.Caller{}, s.err }

// repositorySettings puts ECR's answers into the doctor's words.
type repositorySettings struct{ *ecr.Client }

// anyRevision is a tag as commits have it.
const anyRevision = "0123456789abcdef0123456789abcdef01234567"

func (r repositorySettings) Settings(ctx context.Context, name string) (doctor.RepositorySettings, error) {
	facts, err := r.Repository(ctx, name)
	if err != nil {
		return doctor.RepositorySettings{}, err
	}
	scans, err := r.ScansOnPush(ctx, name)
	return doctor.RepositorySettings{ARN: facts.ARN, RevisionsFix: !facts.Movable(anyRevision),
		LatestMoves: facts.Movable("latest"), ScanOnPush: scans}, err
}

func (r repositorySettings) Contents(ctx context.Context, name string) ([]doctor.StoredImage, error) {
	images, err := r.Client.Contents(ctx, name)
	list := make([]doctor.StoredImage, len(images))
	for i, image := range images {
		list[i] = doctor.StoredImage(image)
	}
	return list, err
}
