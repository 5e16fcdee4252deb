import type { PersonEntry, Role } from '../api/people';

/**
 * What the page offers to do with a person. The server decides, by its own table; this keeps the page from offering what
 * would be refused. Who manages somebody is known by the answer: only then does it have what they use.
 */
export interface Rights {
  /** Sessions, API tokens, second factor and use. */
  see: boolean;
  quota: boolean;
  rename: boolean;
  role: boolean;
  reset: boolean;
  deactivate: boolean;
  reactivate: boolean;
  takeFactor: boolean;
  handOver: boolean;
  erase: boolean;
}

export type Known = Pick<PersonEntry, 'id' | 'active' | 'bytes_used' | 'second_factor'>;

export function rightsOver(person: Known, me: { id: string; role: Role } | null): Rights {
  const self = person.id === me?.id;
  const admin = me?.role === 'admin';
  const manages = me?.role === 'manager' && !self && person.bytes_used !== undefined;
  return {
    see: admin || self || manages,
    quota: admin || manages,
    rename: admin,
    role: admin,
    reset: admin && !self && person.active,
    deactivate: admin && person.active,
    reactivate: admin && !self && !person.active,
    takeFactor: admin && !self && person.second_factor === true, // one's own is on the page of one's account
    handOver: admin && !self && !person.active,
    erase: admin && !self,
  };
}

/** Whether somebody may change a group: its name, quota and members. */
export function mayChangeGroup(group: { manager: boolean }, role: Role | undefined): boolean {
  return role === 'admin' || (role === 'manager' && group.manager);
}
