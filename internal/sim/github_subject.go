package sim

import (
	"net/http"
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/pattern"
)

// subjectForm is the customization of subjects, of a repository or, without
// UseDefault and Prefix, of an owner (GitHub docs: REST API endpoints for
// GitHub Actions OIDC).
type subjectForm struct {
	UseDefault   *bool    `json:"use_default,omitempty"`
	ClaimKeys    []string `json:"include_claim_keys,omitempty"`
	UseImmutable *bool    `json:"use_immutable_subject,omitempty"`
	Prefix       string   `json:"sub_claim_prefix,omitempty"`
}

// ownerRecord holds an owner's subjectForm, by login in lower case.
const ownerRecord = "github/owner/"

// claimKey is what a claim's name is made of.
var claimKey = pattern.New(`^[A-Za-z0-9_]+$`)

// claimKeys are the template that a repository's subjects follow, nil for
// GitHub's own. The owner's counts only where the repository asks for it:
// use_default false, with no keys of its own.
func (c *Cloud) claimKeys(r Repository) []string {
	if !r.OwnersTemplate {
		return r.ClaimKeys
	}
	var owner subjectForm
	c.store.get(ownerRecord+strings.ToLower(r.Owner), &owner)
	return owner.ClaimKeys
}

func getSubject(k *githubCall) (int, any, error) {
	standard := len(k.repo.ClaimKeys) == 0 && !k.repo.OwnersTemplate
	return http.StatusOK, subjectForm{UseDefault: &standard, ClaimKeys: k.cloud.claimKeys(k.repo), UseImmutable: &k.repo.Immutable, Prefix: k.repo.subject()}, nil
}

func putSubject(k *githubCall) (int, any, error) {
	var in subjectForm
	if err := k.decode(&in); err != nil {
		return 0, nil, err
	}
	if in.UseDefault == nil {
		return 0, nil, githubFault(http.StatusUnprocessableEntity, "Invalid request.\n\n\"use_default\" wasn't supplied.")
	}
	if *in.UseDefault {
		in.ClaimKeys = nil // GitHub ignores them
	}
	if err := checkClaimKeys(in.ClaimKeys); err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, struct{}{}, k.changeRepository(func(r *Repository) {
		r.ClaimKeys, r.OwnersTemplate = in.ClaimKeys, !*in.UseDefault && len(in.ClaimKeys) == 0
		if in.UseImmutable != nil {
			r.Immutable = *in.UseImmutable
		}
	})
}

// checkClaimKeys refuses what no token says.
func checkClaimKeys(keys []string) error {
	for i, key := range keys {
		switch {
		case !claimKey.MatchString(key):
			return githubFault(http.StatusUnprocessableEntity, "%q: a claim's name has letters, digits and underscores alone", key)
		case slices.Contains(keys[:i], key):
			return githubFault(http.StatusUnprocessableEntity, "%q is there twice", key)
		case key != "repo" && key != "context" && !slices.Contains(claimNames(), key):
			return githubFault(http.StatusUnprocessableEntity, "%q is no claim", key)
		}
	}
	return nil
}

// changeRepository applies change to the repository that a call names.
func (k *githubCall) changeRepository(change func(*Repository)) error {
	k.cloud.identity.mu.Lock()
	defer k.cloud.identity.mu.Unlock()
	key := repositoryRecord + strings.ToLower(k.repo.FullName())
	if !k.cloud.store.get(key, &k.repo) {
		return githubFault(http.StatusNotFound, "Not Found")
	}
	change(&k.repo)
	return k.cloud.store.put(key, k.repo)
}

// owner is the one that a call names, by login in lower case.
func (k *githubCall) owner() (string, error) {
	login, _, kind, ok := k.cloud.account(k.names["org"])
	if !ok || kind != "Organization" {
		return "", githubFault(http.StatusNotFound, "Not Found")
	}
	return strings.ToLower(login), nil
}

func getOwnerSubject(k *githubCall) (int, any, error) {
	owner, err := k.owner()
	if err != nil {
		return 0, nil, err
	}
	form := subjectForm{ClaimKeys: []string{"repo", "context"}}
	k.cloud.store.get(ownerRecord+owner, &form)
	return http.StatusOK, form, nil
}

// putOwnerSubject keeps an owner's template. Whether it has its repositories
// send ids is kept and answered; here each repository says that for itself.
func putOwnerSubject(k *githubCall) (int, any, error) {
	owner, err := k.owner()
	if err != nil {
		return 0, nil, err
	}
	var in subjectForm
	if err := k.decode(&in); err != nil {
		return 0, nil, err
	}
	if in.ClaimKeys == nil {
		return 0, nil, githubFault(http.StatusUnprocessableEntity, "Invalid request.\n\n\"include_claim_keys\" wasn't supplied.")
	}
	if err := checkClaimKeys(in.ClaimKeys); err != nil {
		return 0, nil, err
	}
	form := subjectForm{ClaimKeys: in.ClaimKeys, UseImmutable: in.UseImmutable}
	return http.StatusCreated, struct{}{}, k.cloud.store.put(ownerRecord+owner, form)
}
