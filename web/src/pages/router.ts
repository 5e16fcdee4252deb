import { watch } from 'vue';
import { createRouter, createWebHistory, type RouteLocation } from 'vue-router';
import { t } from '../messages';
import type { en } from '../messages/en';
import { session } from '../session/session';
import { recoverySheet } from '../session/setup';

declare module 'vue-router' {
  interface RouteMeta {
    /** In which phase of the session the page makes sense; elsewhere one is led to the page that does. */
    phase: 'any' | 'setup' | 'signed-out' | 'enrol' | 'signed-in';
  }
}

/** A page's address without what stands open beside it: opening a panel leaves the page where it is. */
function beside({ path, query }: RouteLocation): string {
  return JSON.stringify([path, { ...query, details: null, event: null }]);
}

export const router = createRouter({
  history: createWebHistory(),
  scrollBehavior: (to, from, saved) => saved ?? (beside(to) === beside(from) ? false : { top: 0 }),
  routes: [
    { path: '/', redirect: '/files' },
    { path: '/files/:path(.*)*', name: 'files', component: () => import('./files/FilesPage.vue'), meta: { phase: 'signed-in' } },
    { path: '/search', name: 'search', component: () => import('./search/SearchPage.vue'), meta: { phase: 'signed-in' } },
    { path: '/audit', name: 'audit', component: () => import('./audit/AuditPage.vue'), meta: { phase: 'signed-in' } },
    { path: '/account', name: 'account', component: () => import('./account/AccountPage.vue'), meta: { phase: 'signed-in' } },
    { path: '/keys', name: 'keys', component: () => import('./keys/KeysPage.vue'), meta: { phase: 'signed-in' } },
    { path: '/sign-in', name: 'sign-in', component: () => import('./sign-in/SignInPage.vue'), meta: { phase: 'signed-out' } },
    { path: '/enrol', name: 'enrol', component: () => import('./enrol/EnrolPage.vue'), meta: { phase: 'enrol' } },
    { path: '/setup', name: 'setup', component: () => import('./setup/SetupPage.vue'), meta: { phase: 'setup' } },
    { path: '/:rest(.*)*', name: 'not-found', component: () => import('./not-found/NotFoundPage.vue'), meta: { phase: 'any' } },
  ],
});

/** Only a path of this page is followed after signing in, never an address. */
function wanted(next: unknown): string {
  return typeof next === 'string' && /^\/(?![/\\])/.test(next) ? next : '/files';
}

router.beforeEach((to) => {
  // The sheet is shown once: nothing else comes before its confirmation.
  if (recoverySheet.value !== null) return to.name === 'setup' ? true : { name: 'setup' };
  const { phase } = session;
  if (phase === 'setup') return to.name === 'setup' ? true : { name: 'setup' };
  if (to.meta.phase === 'any' || phase === 'unreachable' || phase === 'starting') return true;
  if (phase === 'enrol') return to.name === 'enrol' ? true : { name: 'enrol' };
  if (phase === 'signed-out') return to.meta.phase === 'signed-out' ? true : { name: 'sign-in', query: to.fullPath === '/files' ? {} : { next: to.fullPath } };
  return to.meta.phase === 'signed-in' ? true : wanted(to.query.next);
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
    if (phase === 'signed-out' && meta.phase !== 'signed-out') void router.push({ name: 'sign-in', query: session.ended ? { next: fullPath } : {} });
    if (phase === 'signed-in' && (name === 'sign-in' || name === 'enrol')) void router.push(wanted(query.next));
  },
);

/** The address of a folder's page. Each name is encoded by itself, so that any name survives. */
export function folderRoute(path: string): { name: string; params: { path: string[] } } {
  return { name: 'files', params: { path: path.split('/').filter(Boolean) } };
}
