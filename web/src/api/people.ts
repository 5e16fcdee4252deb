import {
  changePerson, createPerson, erasePerson, getPerson, getPersonQuota, handOver, invite, join, listInvitations, listPeople, lookAtLink,
  lookupPerson, putPersonQuota, register, resetPerson, setPasswordByLink, withdrawInvitation,
  type FoundPerson, type HandOver, type Invitation, type InvitationList, type Link, type PersonChange, type PersonEntry, type PersonList,
  type Quota, type QuotaChange, type ResetLink, type Role,
} from './generated';
import { whole } from './account';
import { bare } from './transport';

/** The people of the vault, and the one-time links that lead into it. All of these throw a Problem. */

export type { FoundPerson, HandOver, Invitation, Link, PersonEntry, Quota, QuotaChange, Role };

export const roles: Role[] = ['admin', 'manager', 'user'];
export type PeopleSort = 'name' | 'role' | 'created_at';

/** What a list of people is asked for. */
export interface PeopleQuery {
  name_contains?: string;
  role?: Role;
  active?: boolean;
  group?: string;
  sort?: string;
}

const pageSize = 50;

export async function peoplePage(query: PeopleQuery, cursor?: string): Promise<PersonList> {
  return (await listPeople({ query: { ...query, limit: pageSize, ...(cursor ? { cursor } : {}) } })).data as PersonList;
}

export async function personOf(person: string): Promise<PersonEntry> {
  return (await getPerson({ path: { person } })).data as PersonEntry;
}

/** By the exact name; who is switched off is not found. */
export async function find(name: string): Promise<FoundPerson> {
  return (await lookupPerson({ query: { name } })).data as FoundPerson;
}

/** A link to hand over, shown once, and until when it works. */
export interface OneTimeLink {
  link: string;
  until: string;
}

/** Where the server does not know its own address, the link is a path below the page's. */
function linkOf(link: string | undefined, until: string | undefined): OneTimeLink {
  return { link: new URL(link ?? '', location.origin).href, until: until ?? '' };
}

export async function newAccount(name: string, role: Role): Promise<{ person: PersonEntry; link: OneTimeLink }> {
  const person = (await createPerson({ body: { name, role } })).data as PersonEntry;
  return { person, link: linkOf(person.link, person.link_expires_at) };
}

export async function resetLink(person: string): Promise<OneTimeLink> {
  const made = (await resetPerson({ path: { person } })).data as ResetLink;
  return linkOf(made.link, made.expires_at);
}

export async function change(person: string, what: PersonChange): Promise<PersonEntry> {
  return (await changePerson({ path: { person }, body: what })).data as PersonEntry;
}

/** Destroys the account with all of its files. */
export async function erase(person: string): Promise<void> {
  await erasePerson({ path: { person } });
}

export async function giveFiles(person: string, to: string): Promise<HandOver> {
  return (await handOver({ path: { person }, body: { to } })).data as HandOver;
}

export async function quotaOf(person: string): Promise<Quota> {
  return (await getPersonQuota({ path: { person } })).data as Quota;
}

export async function setQuota(person: string, quota: QuotaChange): Promise<Quota> {
  return (await putPersonQuota({ path: { person }, body: quota })).data as Quota;
}

export async function invitations(): Promise<Invitation[]> {
  return whole(async (cursor) => (await listInvitations({ query: { limit: 100, ...cursor } })).data as InvitationList);
}

export async function newInvitation(days: number, group: string): Promise<OneTimeLink> {
  const made = (await invite({ body: { days, ...(group ? { group } : {}) } })).data as Invitation;
  return linkOf(made.link, made.expires_at);
}

export async function withdraw(id: string): Promise<void> {
  await withdrawInvitation({ path: { id } });
}

// What follows is for who has no session. The link goes in the body, and never in an address.

export async function lookAt(link: string): Promise<Link> {
  return (await lookAtLink({ body: { link }, ...bare })).data as Link;
}

export async function joinBy(link: string, name: string, password: string): Promise<void> {
  await join({ body: { link, name, password }, ...bare });
}

export async function setPasswordBy(link: string, password: string): Promise<void> {
  await setPasswordByLink({ body: { link, password }, ...bare });
}

export async function registerAs(name: string, password: string): Promise<void> {
  await register({ body: { name, password }, ...bare });
}
