package sim

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/slipway-cd/slipway/internal/trust"
)

// provider is an OpenID Connect provider of an account. Record:
// iam/<account>/provider/<issuer without https://>.
type provider struct {
	Account     string    `json:"account"`
	URL         string    `json:"url"` // with https://
	ClientIDs   []string  `json:"client_ids"`
	Thumbprints []string  `json:"thumbprints"`
	Created     time.Time `json:"created"`
	Tags        []tag     `json:"tags,omitempty"`
}

// Quotas of IAM.
const (
	maxProviders   = 100
	maxClientIDs   = 100
	maxThumbprints = 5
)

func providerKey(account, issuer string) string {
	return "iam/" + account + "/provider/" + strings.TrimPrefix(issuer, "https://")
}

func (c *Cloud) findProvider(account, issuer string) (provider, bool) {
	var p provider
	ok := c.store.get(providerKey(account, issuer), &p)
	return p, ok
}

// providerOf finds the provider that a call names.
func (c *Cloud) providerOf(k *call) (provider, error) {
	arn := k.form.Get("OpenIDConnectProviderArn")
	k.resource = arn
	var wrong constraints
	wrong.length("openIDConnectProviderArn", arn, 20, 2048)
	if err := wrong.fault(); err != nil {
		return provider{}, err
	}
	issuer, ok := strings.CutPrefix(arn, trust.ProviderARN(k.account, ""))
	p, found := c.findProvider(k.account, issuer)
	if !ok || !found {
		return p, faultf(http.StatusNotFound, "NoSuchEntity", "OpenIDConnect Provider not found for arn %s", arn)
	}
	return p, nil
}

// createProvider registers an issuer. AWS fetches the issuer's certificate
// where no thumbprint is given; there is nothing to fetch here.
func (c *Cloud) createProvider(k *call) (any, error) {
	p := provider{Account: k.account, URL: k.form.Get("Url"), ClientIDs: readList(k.form, "ClientIDList"),
		Thumbprints: readList(k.form, "ThumbprintList"), Created: k.at.Truncate(time.Second)}
	if err := p.check(); err != nil {
		return nil, err
	}
	var err error
	if p.Tags, err = readTags(k.form, exactly); err != nil {
		return nil, err
	}
	arn := trust.ProviderARN(k.account, p.URL)
	k.resource = arn
	c.identity.mu.Lock()
	defer c.identity.mu.Unlock()
	if _, ok := c.findProvider(k.account, p.URL); ok {
		return nil, faultf(http.StatusConflict, "EntityAlreadyExists", "Provider with url %s already exists.", p.URL)
	}
	if len(c.store.keys(providerKey(k.account, ""))) >= maxProviders {
		return nil, faultf(http.StatusConflict, "LimitExceeded", "Cannot exceed quota for OpenIdConnectProvidersPerAccount: %d", maxProviders)
	}
	if err := c.store.put(providerKey(k.account, p.URL), p); err != nil {
		return nil, err
	}
	return struct{ OpenIDConnectProviderArn string }{arn}, nil
}

func (p provider) check() error {
	var wrong constraints
	wrong.length("url", p.URL, 1, 255)
	for _, id := range p.ClientIDs {
		wrong.length("clientIDList", id, 1, 255)
	}
	for _, thumbprint := range p.Thumbprints {
		wrong.length("thumbprintList", thumbprint, 40, 40)
	}
	if err := wrong.fault(); err != nil {
		return err
	}
	u, err := url.Parse(p.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.Port() != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.User != nil {
		return faultf(http.StatusBadRequest, "ValidationError", "Invalid Open ID Connect Provider URL")
	}
	if len(p.ClientIDs) > maxClientIDs {
		return faultf(http.StatusConflict, "LimitExceeded", "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: %d", maxClientIDs)
	}
	if len(p.Thumbprints) > maxThumbprints {
		return faultf(http.StatusBadRequest, "InvalidInput", "Thumbprint list must contain fewer than %d entries.", maxThumbprints+1)
	}
	return nil
}

func (c *Cloud) getProvider(k *call) (any, error) {
	p, err := c.providerOf(k)
	if err != nil {
		return nil, err
	}
	return struct {
		URL            string `xml:"Url"`
		ClientIDList   xmlList[string]
		ThumbprintList xmlList[string]
		CreateDate     string
		Tags           xmlList[tag]
	}{strings.TrimPrefix(p.URL, "https://"), xmlList[string]{p.ClientIDs}, xmlList[string]{p.Thumbprints}, isoTime(p.Created), xmlList[tag]{p.Tags}}, nil
}

func (c *Cloud) listProviders(k *call) (any, error) {
	type entry struct{ Arn string }
	var list xmlList[entry]
	for _, key := range c.store.keys(providerKey(k.account, "")) {
		list.Member = append(list.Member, entry{trust.ProviderARN(k.account, strings.TrimPrefix(key, providerKey(k.account, "")))})
	}
	return struct{ OpenIDConnectProviderList xmlList[entry] }{list}, nil
}

// addClientID adds an audience. One that is there already is no error.
func (c *Cloud) addClientID(k *call) (any, error) {
	id := k.form.Get("ClientID")
	var wrong constraints
	wrong.length("clientID", id, 1, 255)
	if err := wrong.fault(); err != nil {
		return nil, err
	}
	c.identity.mu.Lock()
	defer c.identity.mu.Unlock()
	p, err := c.providerOf(k)
	if err != nil || slices.Contains(p.ClientIDs, id) {
		return nil, err
	}
	if len(p.ClientIDs) >= maxClientIDs {
		return nil, faultf(http.StatusConflict, "LimitExceeded", "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: %d", maxClientIDs)
	}
	p.ClientIDs = append(p.ClientIDs, id)
	return nil, c.store.put(providerKey(p.Account, p.URL), p)
}

// deleteProvider deletes a provider. One that is not there is no error ("This
// operation is idempotent", DeleteOpenIDConnectProvider).
func (c *Cloud) deleteProvider(k *call) (any, error) {
	c.identity.mu.Lock()
	defer c.identity.mu.Unlock()
	p, err := c.providerOf(k)
	if f := asFault(err); f != nil && f.Code == "NoSuchEntity" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return nil, c.store.delete(providerKey(p.Account, p.URL))
}
