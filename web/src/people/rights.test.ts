import { describe, expect, it } from 'vitest';
import { mayChangeGroup, rightsOver, type Known, type Rights } from './rights';

const admin = { id: 'a', role: 'admin' } as const;
const manager = { id: 'm', role: 'manager' } as const;
const user = { id: 'u', role: 'user' } as const;
const inside: Known = { id: 'x', active: true, bytes_used: 0, second_factor: true };
const outside: Known = { id: 'x', active: true };

const of = (rights: Rights): string[] => Object.entries(rights).filter(([, may]) => may).map(([name]) => name);

describe('what is offered with a person', () => {
  it.each([
    ['an admin, somebody', admin, inside, ['see', 'quota', 'rename', 'role', 'reset', 'deactivate', 'takeFactor', 'erase']],
    ['an admin, somebody switched off', admin, { ...inside, active: false, second_factor: false }, ['see', 'quota', 'rename', 'role', 'reactivate', 'handOver', 'erase']],
    ['an admin, oneself', admin, { ...inside, id: 'a' }, ['see', 'quota', 'rename', 'role', 'deactivate']],
    ['a manager, somebody managed', manager, inside, ['see', 'quota']],
    ['a manager, somebody else', manager, outside, []],
    ['a manager, oneself', manager, { ...inside, id: 'm' }, ['see']],
    ['a user, somebody', user, outside, []],
    ['a user, oneself', user, { ...inside, id: 'u' }, ['see']],
    ['nobody', null, inside, []],
  ])('to %s', (_, me, person, wanted) => expect(of(rightsOver(person, me))).toEqual(wanted));

  it('a group is changed by admins, and by managers who manage it', () => {
    expect(mayChangeGroup({ manager: false }, 'admin')).toBe(true);
    expect(mayChangeGroup({ manager: true }, 'manager')).toBe(true);
    expect(mayChangeGroup({ manager: false }, 'manager')).toBe(false);
    expect(mayChangeGroup({ manager: true }, 'user')).toBe(false);
    expect(mayChangeGroup({ manager: true }, undefined)).toBe(false);
  });
});
