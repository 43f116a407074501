#!/bin/sh
# After the app is there: what needs its functions, and what a workspace and a hub are told once.
set -eu
.venv/bin/python -m training.register_components
landing=$(.venv/bin/python -m infra.steps.landing)
try=1
# A function shows up some time after its package; until then Event Grid refuses to subscribe it
until az deployment group create --only-show-errors --output none \
  --name refluent-subscriptions --subscription "$AZURE_SUBSCRIPTION_ID" --resource-group "$AZURE_RESOURCE_GROUP" \
  --template-file infra/subscriptions.bicep \
  --parameters "functionAppName=$FUNCTION_APP_NAME" "uploadsTopicName=$UPLOADS_TOPIC_NAME" \
  "trainingTopicName=$TRAINING_TOPIC_NAME" "devicesTopicName=$DEVICES_TOPIC_NAME" \
  "announcementsTopicName=$ANNOUNCEMENTS_TOPIC_NAME" "deliveryIdentityId=$DELIVERY_IDENTITY_ID" \
  "dataAccountId=$DATA_ACCOUNT_ID" "landingContainers=$landing" "telemetryByEventGrid=$TELEMETRY_BY_EVENT_GRID"; do
  [ "$try" -lt 5 ] || { echo "the subscriptions were refused $try times; see the reason above" >&2; exit 1; }
  echo "not yet; try $try of 5, the next one in 30 seconds"
  try=$((try + 1))
  sleep 30
done
echo "events are subscribed"
.venv/bin/python -m infra.steps.base_deployments
# It asks with your rights and looks up the app's; a right that was given minutes ago may still be missing somewhere
AZURE_CLIENT_ID=$APP_CLIENT_ID .venv/bin/refluent doctor --azure || echo "see above; \`refluent doctor --azure\` asks again"
