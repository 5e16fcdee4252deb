import { createApp } from 'vue';
import './styles/fonts.css';
import './styles/bootstrap.scss';
import './styles/tokens.scss';
import './styles/base.scss';
import App from './shell/App.vue';
import { router } from './pages/router';
import { start } from './session/session';
import { notify } from './shell/notices';
import { watchUploads } from './transfers/uploads';

const app = createApp(App);
app.config.errorHandler = (error) => notify.problem(error);
watchUploads();
void start().then(() => {
  app.use(router);
  app.mount('#app');
});
