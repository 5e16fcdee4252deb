import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** A line to a server that can be cut, and counts what is sent over it. */
export class Line {
  url = '';
  /** Bytes that came from the browser. */
  sent = 0;
  private readonly sockets = new Set<Socket>();
  private readonly listener = createServer((near) => {
    const far = connect(this.port, '127.0.0.1');
    near.on('data', (bytes: Buffer) => (this.sent += bytes.length));
    near.pipe(far).pipe(near);
    for (const [socket, other] of [[near, far], [far, near]] as const) {
      this.sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        this.sockets.delete(socket);
        other.destroy();
      });
    }
  });

  private constructor(private readonly port: number) {}

  static async to(server: { url: string }): Promise<Line> {
    const line = new Line(Number(new URL(server.url).port));
    await new Promise<void>((resolve) => line.listener.listen(0, '127.0.0.1', resolve));
    line.url = `http://127.0.0.1:${(line.listener.address() as AddressInfo).port}`;
    return line;
  }

  /** Breaks every connection, at whatever byte it stands. */
  cut(): void {
    for (const socket of this.sockets) socket.resetAndDestroy();
  }

  end(): void {
    this.listener.close();
    this.cut();
  }
}
