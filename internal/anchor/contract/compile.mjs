// Compiles AnchorRegistry.sol into compiled/. Its output follows from the source, settings.json and the
// compiler's version alone.
import { readFileSync, writeFileSync } from 'node:fs'
import solc from 'solc'

const source = 'AnchorRegistry.sol'
const read = (name) => readFileSync(new URL(name, import.meta.url), 'utf8')
const write = (name, text) => writeFileSync(new URL(`compiled/${name}`, import.meta.url), text + '\n')

const input = {
  language: 'Solidity',
  sources: { [source]: { content: read(source) } },
  settings: JSON.parse(read('settings.json')),
}
const output = JSON.parse(solc.compile(JSON.stringify(input)))
for (const { formattedMessage } of output.errors ?? []) console.error(formattedMessage)
if (output.errors?.length) process.exit(1)

const { abi, evm } = output.contracts[source].AnchorRegistry
write('compiler.txt', solc.version())
write('input.json', JSON.stringify(input, null, 2))
write('abi.json', JSON.stringify(abi, null, 2))
write('creation.hex', evm.bytecode.object)
write('runtime.hex', evm.deployedBytecode.object)
