import { expect } from 'chai';
import { explainFailure } from '../lib/cli/failure.js';
import { COMMANDS } from '../lib/cli/program.js';
import { DataError, InvalidArgumentError, ListwiseError } from '../lib/errors.js';
import { NotFiniteError } from '../lib/training/watched-trainer.js';

describe('explainFailure', () => {
  const specialize = COMMANDS.find(({ name }) => name === 'specialize')!;
  const message = (error: Error) => explainFailure(error, specialize).message;

  it('writes options as the command line does, in advice after training or dropping failed', () => {
    expect(message(new ListwiseError('NOT_FINITE', 'Try a lower learningRate.'))).to.equal(
      'Try a lower --learning-rate.',
    );
    expect(message(new ListwiseError('BAD_DATA', 'loosen maxSourceRank or listLength.'))).to.equal(
      'loosen --max-source-rank or --list-length.',
    );
    const twice = new DataError({ file: 'c.jsonl', line: 2 }, 'choose skip by the option duplicateIds.');
    expect(message(twice)).to.equal('c.jsonl:2: choose skip by --duplicate-ids.');
  });

  it('gives all queries of a batch whose numbers were not finite, of which the message has five', () => {
    const ids = Array.from({ length: 7 }, (_, i) => `q${i}`);
    const error = new NotFiniteError('Step 3 stopped', 'a lower learningRate', ids);
    const { queries, message: told } = explainFailure(error, specialize);
    expect(queries).to.deep.equal(ids);
    expect(told).to.match(/a lower --learning-rate, .*: q0, q1, q2, q3, q4, and 2 more \(all are in log\.jsonl\)\.$/);
    expect(explainFailure(new ListwiseError('BAD_DATA', 'no'), specialize)).to.not.have.property('queries');
  });

  it('names the option where the library names an entry of its array', () => {
    const compare = COMMANDS.find(({ name }) => name === 'compare')!;
    const error = new InvalidArgumentError('others[1]', 'systems of different names', 'base.trec');
    expect(explainFailure(error, compare).message).to.equal(
      'Expected systems of different names for --others but received "base.trec".',
    );
  });

  it('leaves fields of files as they are, whatever options are called', () => {
    const field = new DataError({ file: 'run.yaml', field: 'maxSteps' }, 'Expected a whole number but found NaN.');
    expect(message(field)).to.equal('run.yaml (field "maxSteps"): Expected a whole number but found NaN.');
    expect(message(new DataError({ file: 'a' }, 'the option nobodyHas'))).to.equal('a: the option nobodyHas');
  });
});
