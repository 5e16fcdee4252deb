import { watch } from 'vue';
import { createRouter, createWebHistory, type RouteLocation } from 'vue-router';
import { t } from '../messages';
import type { en } from '../messages/en';
import type { Role } from '../api/people';
import { session } from '../session/session';
import { recoverySheet } from '../session/setup';
import { keepLink } from './links/secret';

declare module 'vue-router' {
  interface RouteMeta {
    /** In which phase of the session the page makes sense; elsewhere one is led to the page that does. */
    phase: 'any' | 'setup' | 'signed-out' | 'enrol' | 'signed-in';
    /** Whose page it is; everybody's where nothing stands here. For others it is not there. */
    roles?: Role[];
    /** A one-time link leads here, with its secret behind `#`. */
    link?: true;
  }
}

/** A page's address without what stands open beside it: opening a panel leaves the page where it is. */
function beside({ path, query }: RouteLocation): string {
  return JSON.stringify([path, { ...query, details: null, event: null, person: null, group: null }]);
}

export const router = createRouter({
  history: createWebHistory(),
  scrollBehavior: (to, from, saved) => saved ?? (beside(to) === beside(from) ? false : { top: 0 }),
  routes: [
    { path: '/', redirect: '/files' },
    { path: '/files/:path(.*)*', name: 'files', component: () => import('./files/FilesPage.vue'), meta: { phase: 'signed-in' } },
    { path: '/search', name: 'search', component: () => import('./search/SearchPage.vue'), meta: { phase: 'signed-in' } },
    { path: '/audit', name: 'audit', component: () => import('./audit/AuditPage.vue'), meta: { phase: 'signed-in' } },
    { path: '/people', name: 'people', component: () => import('./people/PeoplePage.vue'), meta: { phase: 'signed-in', roles: ['admin', 'manager'] } },
    { path: '/groups', name: 'groups', component: () => import('./groups/GroupsPage.vue'), meta: { phase: 'signed-in' } },
    {
      path: '/quantum', component: () => import('./quantum/QuantumFrame.vue'), meta: { phase: 'signed-in' },
      children: [
        { path: '', name: 'quantum', component: () => import('./quantum/LaboratoryPage.vue') },
        { path: 'sessions', name: 'quantum-sessions', component: () => import('./quantum/SessionsPage.vue') },
        { path: 'sessions/:id', name: 'quantum-session', component: () => import('./quantum/SessionPage.vue') },
      ],
    },
    { path: '/settings', name: 'settings', component: () => import('./settings/SettingsPage.vue'), meta: { phase: 'signed-in', roles: ['admin'] } },
    { path: '/account', name: 'account', component: () => import('./account/AccountPage.vue'), meta: { phase: 'signed-in' } },
    { path: '/keys', name: 'keys', component: () => import('./keys/KeysPage.vue'), meta: { phase: 'signed-in' } },
    { path: '/sign-in', name: 'sign-in', component: () => import('./sign-in/SignInPage.vue'), meta: { phase: 'signed-out' } },
    { path: '/enrol', name: 'enrol', component: () => import('./enrol/EnrolPage.vue'), meta: { phase: 'enrol' } },
    { path: '/join', name: 'join', component: () => import('./links/JoinPage.vue'), meta: { phase: 'any', link: true } },
    { path: '/reset', name: 'reset', component: () => import('./links/ResetPage.vue'), meta: { phase: 'any', link: true } },
    { path: '/register', name: 'register', component: () => import('./links/RegisterPage.vue'), meta: { phase: 'signed-out' } },
    { path: '/setup', name: 'setup', component: () => import('./setup/SetupPage.vue'), meta: { phase: 'setup' } },
    { path: '/:rest(.*)*', name: 'not-found', component: () => import('./not-found/NotFoundPage.vue'), meta: { phase: 'any' } },
  ],
});

/** Only a path of this page is followed after signing in, never an address. */
function wanted(next: unknown): string {
  return typeof next === 'string' && /^\/(?![/\\])/.test(next) ? next : '/files';
}

router.beforeEach((to) => {
  // A link that is opened while the page is: its secret leaves the address before anything else happens.
  if (to.meta.link && to.hash) {
    keepLink(to.hash);
    return { path: to.path, replace: true };
  }
  // The sheet is shown once: nothing else comes before its confirmation.
  if (recoverySheet.value !== null) return to.name === 'setup' ? true : { name: 'setup' };
  const { phase } = session;
  if (phase === 'setup') return to.name === 'setup' ? true : { name: 'setup' };
  if (to.meta.phase === 'any' || phase === 'unreachable' || phase === 'starting') return true;
  if (phase === 'enrol') return to.name === 'enrol' ? true : { name: 'enrol' };
  if (phase === 'signed-out') return to.meta.phase === 'signed-out' ? true : { name: 'sign-in', query: to.fullPath === '/files' ? {} : { next: to.fullPath } };
  if (to.meta.phase !== 'signed-in') return wanted(to.query.next);
  if (to.meta.roles && !to.meta.roles.includes(session.me?.role ?? 'user')) return { name: 'not-found', params: { rest: to.path.split('/').filter(Boolean) }, replace: true };
  return true;
});

router.afterEach((to) => {
  const folder = to.name === 'files' ? [to.params.path ?? []].flat().at(-1) : undefined;
  document.title = `${folder || t(`titles.${to.name as keyof typeof en.titles}`)} – ${t('app.name')}`;
});

watch(
  () => session.phase,
  (phase) => {
    const { name, fullPath, query, meta } = router.currentRoute.value;
    if (phase === 'enrol') void router.push({ name: 'enrol', query: query.next ? { next: query.next } : {} });
    if (phase === 'signed-out' && meta.phase !== 'signed-out' && !meta.link) void router.push({ name: 'sign-in', query: session.ended ? { next: fullPath } : {} });
    if (phase === 'signed-in' && (name === 'sign-in' || name === 'enrol' || name === 'register')) void router.push(wanted(query.next));
  },
);

/** The address of a folder's page. Each name is encoded by itself, so that any name survives. */
export function folderRoute(path: string): { name: string; params: { path: string[] } } {
  return { name: 'files', params: { path: path.split('/').filter(Boolean) } };
}
