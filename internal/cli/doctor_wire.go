package cli

import (
	"context"

	"github.com/slipway-cd/slipway/internal/awsauth"
	"github.com/slipway-cd/slipway/internal/build"
	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/doctor"
	"github.com/slipway-cd/slipway/internal/ecr"
	"github.com/slipway-cd/slipway/internal/github"
	"github.com/slipway-cd/slipway/internal/iam"
)

func gitTree(p *project, env []string) doctor.Git { return build.Tree{Dir: p.file.Dir, Env: env} }

func enginePresent(p *project, env []string) error { return build.Present(p.agent.Build.Engine, env) }

// connect gives a doctor the ports that need the network. What can't be opened
// is a finding of the check that needs it.
func (a *app) connect(ctx context.Context, p *project, d *doctor.Doctor) {
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
	d.Repository = repositorySettings{ecr.New(session.Config(awsauth.ECR))}
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
