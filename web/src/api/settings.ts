import {
  changeWebhook, createWebhook, deleteWebhook, getSettings, listWebhookDeliveries, listWebhooks, putSettings, renewWebhookSecret, testWebhook,
  type Settings, type Webhook, type WebhookDelivery, type WebhookDeliveryList, type WebhookEvent, type WebhookList,
} from './generated';

/** What admins set for the whole vault. All of these throw a Problem. */

export type { Settings, Webhook, WebhookDelivery, WebhookEvent };

export const webhookEvents: WebhookEvent[] = ['sign-in.refused', 'device.new', 'role.changed', 'download.refused'];

export async function settings(): Promise<Settings> {
  return (await getSettings()).data as Settings;
}

/** Sets all of them: a limit that is absent is no limit. */
export async function setSettings(all: Settings): Promise<void> {
  await putSettings({ body: all });
}

export async function webhooks(): Promise<Webhook[]> {
  return ((await listWebhooks()).data as WebhookList).items;
}

/** With the secret, which this answer alone has. */
export async function newWebhook(url: string, events: WebhookEvent[]): Promise<Webhook> {
  return (await createWebhook({ body: { url, events } })).data as Webhook;
}

export async function setWebhook(webhook: string, what: { url?: string; events?: WebhookEvent[]; active?: boolean }): Promise<Webhook> {
  return (await changeWebhook({ path: { webhook }, body: what })).data as Webhook;
}

export async function newSecret(webhook: string): Promise<Webhook> {
  return (await renewWebhookSecret({ path: { webhook } })).data as Webhook;
}

export async function removeWebhook(webhook: string): Promise<void> {
  await deleteWebhook({ path: { webhook } });
}

export async function tryWebhook(webhook: string): Promise<WebhookDelivery> {
  return (await testWebhook({ path: { webhook } })).data as WebhookDelivery;
}

/** The newest of what was and is to be sent. */
export async function deliveries(webhook: string): Promise<WebhookDelivery[]> {
  return ((await listWebhookDeliveries({ path: { webhook }, query: { limit: 20 } })).data as WebhookDeliveryList).items;
}
