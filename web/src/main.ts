import { createApp } from 'vue';
import './styles/fonts.css';
import './styles/bootstrap.scss';
import './styles/tokens.scss';
import './styles/base.scss';
import './styles/people.scss';
import './styles/quantum.scss';
import App from './shell/App.vue';
import { router } from './pages/router';
import { start } from './session/session';
import { notify } from './shell/notices';
import { watchUploads } from './transfers/uploads';

// A file that is dropped where no page takes it must not open in place of this page, and end its uploads.
for (const name of ['dragover', 'drop'] as const) {
  addEventListener(name, (event) => {
    if (!event.dataTransfer?.types.includes('Files')) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = 'none';
  });
}

const app = createApp(App);
app.config.errorHandler = (error) => notify.problem(error);
watchUploads();
void start().then(() => {
  app.use(router);
  app.mount('#app');
});
