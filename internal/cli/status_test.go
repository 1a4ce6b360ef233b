package cli

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/delivery"
)

// TestStatusSelection: the command line says what is looked at, then the
// process environment; without either it is all there is.
func TestStatusSelection(t *testing.T) {
	file, err := config.Parse("slipway.yaml", []byte("version: 1\nregion: us-east-1\nagents: {a: {repository: aa}, b: {repository: bb}}\n"+
		"environments: {dev: {account: \""+demoAccount+"\"}, stg: {account: \""+demoAccount+"\", after: dev}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		env  string
		s    selection
		want string
	}{
		{"", selection{}, "a dev, a stg, b dev, b stg"},
		{"SLIPWAY_ENV=stg", selection{}, "a stg, b stg"},
		{"SLIPWAY_ENV=stg SLIPWAY_AGENT=b", selection{}, "b stg"},
		{"SLIPWAY_ENV=stg SLIPWAY_AGENT=b", selection{environment: "dev"}, "b dev"},
		{"SLIPWAY_ENV=stg SLIPWAY_AGENT=b", selection{agent: "a"}, "a stg"},
		{"SLIPWAY_ENV=prd", selection{}, "refused"},
	} {
		a := &app{System: System{Env: strings.Fields(test.env)}}
		a.ui = newUI(a)
		nobody := errors.New("nobody is asked")
		rows, _, err := a.statuses(t.Context(), file, test.s, func(context.Context, *project) (*delivery.Deliverer, error) { return nil, nobody })
		var got []string
		for _, r := range rows {
			got = append(got, r.Agent+" "+r.Environment)
		}
		if err != nil {
			got = []string{"refused"}
		}
		if strings.Join(got, ", ") != test.want {
			t.Errorf("%s %+v: %q, want %s", test.env, test.s, got, test.want)
		}
	}
}
