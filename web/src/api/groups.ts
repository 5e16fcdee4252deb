import {
  createGroup, deleteGroup, getGroup, getGroupQuota, listGroups, listMembers, putGroupQuota, putMember, removeMember, renameGroup,
  type Group, type GroupList, type Member, type MemberList, type Quota, type QuotaChange,
} from './generated';
import { whole } from './account';

/** Groups and who is in them. All of these throw a Problem. */

export type { Group, Member };

const pageSize = 50;

export async function groupPage(contains: string, cursor?: string): Promise<GroupList> {
  const query = { limit: pageSize, ...(contains ? { name_contains: contains } : {}), ...(cursor ? { cursor } : {}) };
  return (await listGroups({ query })).data as GroupList;
}

/** Every group that one may see, for a choice among them. */
export async function allGroups(): Promise<Group[]> {
  return whole(async (cursor) => (await listGroups({ query: { limit: 1000, ...cursor } })).data as GroupList);
}

export async function groupOf(group: string): Promise<Group> {
  return (await getGroup({ path: { group } })).data as Group;
}

export async function newGroup(name: string): Promise<Group> {
  return (await createGroup({ body: { name } })).data as Group;
}

export async function rename(group: string, name: string): Promise<Group> {
  return (await renameGroup({ path: { group }, body: { name } })).data as Group;
}

export async function removeGroup(group: string): Promise<void> {
  await deleteGroup({ path: { group } });
}

export async function memberPage(group: string, cursor?: string): Promise<MemberList> {
  return (await listMembers({ path: { group }, query: { limit: pageSize, ...(cursor ? { cursor } : {}) } })).data as MemberList;
}

export async function setMember(group: string, person: string, member: boolean, manager: boolean): Promise<void> {
  await putMember({ path: { group, person }, body: { member, manager } });
}

/** Takes somebody out; with `me`, it is leaving. */
export async function takeOut(group: string, person: string): Promise<void> {
  await removeMember({ path: { group, person } });
}

export async function groupQuotaOf(group: string): Promise<Quota> {
  return (await getGroupQuota({ path: { group } })).data as Quota;
}

export async function setGroupQuota(group: string, quota: QuotaChange): Promise<Quota> {
  return (await putGroupQuota({ path: { group }, body: quota })).data as Quota;
}
