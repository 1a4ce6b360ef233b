package explain_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/slipway-cd/slipway/internal/workflow/explain"
)

// TestKinds tries what a scalar of a matrix is: plain it may be more than a
// text.
func TestKinds(t *testing.T) {
	for scalar, want := range map[string]string{
		"false": "false", "False": "false", "FALSE": "false", "true": "true: true", "True": "true: true",
		"null": "false", "~": "false", "Null": "false",
		"0": "false", "0.0": "false", "-0": "false", "1": "true: 1", "1.10": "true: 1.1", "0x10": "true: 16", "0o17": "true: 15", "017": "true: 17", "1e2": "true: 100", ".5": "true: 0.5",
		"'false'": "true: false", `"false"`: "true: false", "'0'": "true: 0", "!!str false": "true: false", "''": "false",
		"no": "true: no", "off": "true: off", "0b0": "true: 0b0", "0_0": "true: 0_0", "2024-01-01": "true: 2024-01-01", ".": "true: .", "1.1.0": "true: 1.1.0",
		"&a false": "false", "'${{ github.ref_name }}'": "true: main", "\"${{ github.ref_name == 'x' }}\"": "false",
	} {
		for _, row := range []string{"{it: [%s]}", "{include: [{it: %s}]}", "{it: [{ü: ü, in: %s}]}"} {
			x := explain.Explainer{Event: push()}
			named := "it"
			if strings.Contains(row, "in:") {
				named = "it.in"
			}
			w := of(t, x, "on: push\njobs:\n  j:\n    runs-on: x\n    strategy: {matrix: "+fmt.Sprintf(row, scalar)+
				"}\n    environment: \"${{ matrix."+named+" && format('true: {0}', matrix."+named+") || 'false' }}\"\n    steps: [{run: x}]\n")
			if got := w.Jobs[0].Places[0].Environment; got != want {
				t.Errorf("%s of %s: %s, want %s", scalar, row, got, want)
			}
		}
	}
}

// TestCallKinds tries what a called workflow takes a value for, by the kind
// that it declares.
func TestCallKinds(t *testing.T) {
	for _, tt := range []struct{ input, with, want string }{
		{"{type: boolean}", "{i: false}", "skipped"},
		{"{type: boolean}", "{i: true}", "runs, true"},
		{"{type: boolean}", "{}", "skipped"},
		{"{type: boolean, default: false}", "{}", "skipped"},
		{"{type: boolean, default: true}", "{}", "runs, true"},
		{"{type: boolean, default: true}", "{i: false}", "skipped"},
		{"{type: boolean, default: true}", "{I: False}", "skipped"},
		{"{type: boolean, default: \"${{ github.ref_name == 'x' }}\"}", "{}", "skipped"},
		{"{type: boolean, default: \"${{ vars.X }}\"}", "{}", "depends"},
		{"{type: boolean}", "{i: \"${{ github.event_name == 'x' }}\"}", "skipped"},
		{"{type: boolean}", "{i: \"${{ fromJSON('false') }}\"}", "skipped"},
		{"{type: boolean}", "{i: '${{ vars.X }}'}", "depends"},
		{"{type: boolean}", "{i: 'false'}", `broken: GitHub refuses the input i: "false" is no boolean`},
		{"{type: boolean}", "{i: \"${{ 'false' }}\"}", `broken: GitHub refuses the input i: "false" is no boolean`},
		{"{type: boolean}", "{i: '${{ inputs.nosuch }}'}", "broken: GitHub refuses the input i: null is no boolean"},
		{"{type: number}", "{i: 0}", "skipped"},
		{"{type: number}", "{}", "skipped"},
		{"{type: number, default: 2}", "{}", "runs, 2"},
		{"{type: number}", "{i: x}", `broken: GitHub refuses the input i: "x" is no number`},
		{"{type: string}", "{i: false}", "runs, false"}, // a text that is not empty
		{"{type: string}", "{i: \"${{ github.event_name == 'x' }}\"}", "runs, false"},
		{"{type: string}", "{i: 1.10}", "runs, 1.1"},
		{"{type: string}", "{i: ''}", "skipped"},
		{"{type: string, default: false}", "{}", "runs, false"},
		{"{type: string}", "{}", "skipped"},
	} {
		x := explain.Explainer{Event: push(), Only: []string{file}, Files: map[string][]byte{
			file: []byte("on: push\njobs: {call: {uses: ./.github/workflows/c.yml, with: " + tt.with + "}}\n"),
			".github/workflows/c.yml": []byte("on: {workflow_call: {inputs: {i: " + tt.input +
				"}}}\njobs: {j: {if: inputs.i, environment: '${{ inputs.i }}', runs-on: x, steps: [{run: x}]}}\n"),
		}}
		all, _ := x.Explain()
		called := all[0].Jobs[0].Calls
		got := string(called.Verdict) + ": " + called.Because
		if called.Verdict != explain.Broken {
			got = string(called.Jobs[0].Verdict)
			if len(called.Jobs[0].Places) > 0 && called.Jobs[0].Places[0].DependsOn == nil {
				got += ", " + called.Jobs[0].Places[0].Environment
			}
		}
		if got != tt.want {
			t.Errorf("%s with %s: %s, want %s", tt.input, tt.with, got, tt.want)
		}
	}
}
