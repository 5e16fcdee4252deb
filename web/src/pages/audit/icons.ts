import {
  Anchor, Ban, Database, Download, Eraser, FileOutput, FilePlus, FolderInput, FolderPlus, KeyRound, LogIn, LogOut, Power, ScrollText, Server, Settings, ShieldAlert, ShieldCheck, Stamp, Trash2,
  TriangleAlert, Upload, UserRoundCog, UserRoundPlus,
} from '@lucide/vue';
import type { AuditEvent } from '../../api/audit';
import { groupOf, type Group } from '../../audit/words';

type Icon = typeof Server;

const byType: Record<string, Icon> = {
  'log.anchored': Anchor,
  'person.erased': Eraser,
  'server.started': Power,
  'server.stopped': Power,
  'server.configured': Settings,
  'server.migrated': Database,
  'account.created': UserRoundPlus,
  'account.changed': UserRoundCog,
  'session.opened': LogIn,
  'session.ended': LogOut,
  'token.reused': ShieldAlert,
  'file.put': FilePlus,
  'file.moved': FolderInput,
  'file.deleted': Trash2,
  'folder.created': FolderPlus,
  'upload.begun': Upload,
  'upload.ended': Upload,
  'download.begun': Download,
  'download.ended': Download,
  'file.exported': FileOutput,
  'file.verified': ShieldCheck,
  'file.resealed': Stamp,
};
const byGroup: Record<Group, Icon> = { files: FilePlus, access: Ban, accounts: KeyRound, server: ScrollText };

export function iconOf(event: AuditEvent): Icon {
  if (event.damaged) return TriangleAlert;
  if (event.type === 'file.verified' && event.operational?.ok === false) return ShieldAlert;
  return byType[event.type] ?? byGroup[groupOf(event.type)];
}
