package generate

import "strconv"

// rollback is the workflow that brings an earlier release back, by hand and
// behind the same gate. It builds nothing and pulls no image.
func (p *plan) rollback() []byte {
	all := names(p.environments)
	return []byte(fill(`
name: roll back

on:
  workflow_dispatch:
    inputs:
<environment><agent>      revision:
        description: revision, digest or version to go back to; empty for the release before
        type: string
        required: false
        default: ""

# The job asks for what it needs, and gets nothing else.
permissions: {}

jobs:
  rollback:
    name: roll <which>${{ inputs.environment }} back
    runs-on: <runner>
    timeout-minutes: <minutes>
    environment: # one of the list above: its reviewers, its branch, its variables
      name: ${{ inputs.environment }}
      url: ${{ steps.rollback.outputs.url }}
    concurrency: # in turn with the deliveries to the environment; none is cancelled
      group: deploy-${{ inputs.environment }}
      cancel-in-progress: false
      queue: max
<permissions><settings><outputs>    steps:
<checkout><install>      - name: go back, verify
        id: rollback
        env:
          SLIPWAY_ENV: ${{ inputs.environment }}
          SLIPWAY_TO: ${{ inputs.revision }}
<env>        run: slipway rollback --env "$SLIPWAY_ENV"<flag> ${SLIPWAY_TO:+"--to=$SLIPWAY_TO"}
`, "<environment>", p.choiceOfEnvironment("where to go back", p.environments), "<agent>", p.choiceOfAgent(), "<which>", p.which(), "<runner>", runner,
		"<minutes>", strconv.Itoa(minutes(false, p.environments...)), "<permissions>", indent(4, delivering), "<settings>", indent(4, p.settings(everySetting(), all...)),
		"<outputs>", indent(4, outputs("rollback")), "<checkout>", indent(6, checkout("")), "<install>", indent(6, install()),
		"<env>", indent(10, p.chosen()+telling+verifying), "<flag>", p.flag()))
}

// which names the agent in a job's title, where there are many.
func (p *plan) which() string {
	if !p.many() {
		return ""
	}
	return "${{ inputs.agent }} in "
}
